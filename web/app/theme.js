/** Light, dark, or what the system says. */

const KEY = "parlour theme";

export const THEMES = { system: "As the system", light: "Light", dark: "Dark" };

export function theme() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept in THEMES ? kept : "system";
  } catch {
    return "system";
  }
}

export function setTheme(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // It holds until the page is loaded anew.
  }
  wear(choice);
}

/** The style sheets ask for this attribute. */
export function wear(choice = theme()) {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}
