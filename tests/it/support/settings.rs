//! The settings that a test starts the service with: the test's own, and the tests' defaults for the others. The
//! service in this process gets them as flags, the real binary as variables, so that both ways are tested.

use std::collections::BTreeMap;

#[derive(Clone)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// `flags` as on a command line: `["--presence-grace", "1s"]`.
    pub(crate) fn new(database_url: &str, flags: &[&str]) -> Self {
        let defaults = [
            ("listen", "127.0.0.1:0"),
            ("database-url", database_url),
            ("rate-calls", "off"),
            ("rate-sends", "off"),
            ("rate-sessions", "off"),
            ("presence-interval", "100ms"),
            // Longer than any pause of a busy machine, and than `DEADLINE`: its end cannot pass for a change that must
            // be at once.
            ("presence-grace", "60s"),
        ];
        let mut settings: BTreeMap<String, String> =
            defaults.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        for flag in flags.chunks(2) {
            let &[name, value] = flag else { panic!("a flag without a value: {flag:?}") };
            settings.insert(name.trim_start_matches("--").to_owned(), value.to_owned());
        }
        Self(settings)
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }

    pub(crate) fn flags(&self) -> Vec<String> {
        self.0.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect()
    }

    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let variable = |name: &str| format!("PARLOUR_{}", name.to_uppercase().replace('-', "_"));
        self.0.iter().map(|(name, value)| (variable(name), value.clone())).collect()
    }
}
