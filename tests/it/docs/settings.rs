//! The table of settings in `docs/configuration.md` and `parlour --help` name the same settings with the same defaults.

use crate::support::run_command;

#[test]
fn the_table_of_settings_is_what_help_says() {
    let output = run_command(&["--help"], &[]);
    assert!(output.status.success(), "{output:?}");
    let help = settings_of_help(std::str::from_utf8(&output.stdout).unwrap());
    assert!(!help.is_empty());
    assert_eq!(settings_of_table(), help, "docs/configuration.md on the left, --help on the right");
}

/// A setting: its variable, its flag, its default.
type Setting = [String; 3];

fn settings_of_table() -> Vec<Setting> {
    let document = super::page("docs/configuration.md");
    let rows = super::section(&document, "Settings").lines().filter(|line| line.starts_with("| `PARLOUR_"));
    let settings = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a variable, a flag, a default, a text: {row}");
        assert!(!cells[3].is_empty(), "{row}");
        [0, 1, 2].map(|cell| cells[cell].replace('`', ""))
    });
    settings.collect()
}

/// The settings of the help text. A setting without a default in the help has the default `none` in the table.
fn settings_of_help(help: &str) -> Vec<Setting> {
    let options = help.split("\n      --").skip(1);
    let settings = options.map(|option| {
        let option = option.split_whitespace().collect::<Vec<_>>().join(" ");
        let labelled = |label: &str| {
            let (_, rest) = option.split_once(&format!("[{label}: "))?;
            rest.split(']').next()
        };
        let variable = labelled("env").unwrap_or_else(|| panic!("no variable: {option}"));
        let flag = option.split(' ').next().unwrap_or_default();
        let default = labelled("default").unwrap_or("none");
        [variable.trim_end_matches('=').to_owned(), format!("--{flag}"), default.to_owned()]
    });
    settings.collect()
}
