/** The theme of the page: light, dark, or as the system prefers. */

const KEY = "parlour theme";

/** The labels of the themes. */
export const THEMES = { system: "As the system", light: "Light", dark: "Dark" };

/** Returns the chosen theme. */
export function theme() {
  try {
    const saved = localStorage.getItem(KEY);
    return saved in THEMES ? saved : "system";
  } catch {
    return "system";
  }
}

export function setTheme(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // The browser denies its storage: the choice holds until the page is reloaded.
  }
  applyTheme(choice);
}

/** Sets the attribute that the style sheets select by. */
export function applyTheme(choice = theme()) {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}
