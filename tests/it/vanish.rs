//! A peer that vanishes without closing its connection.

use std::process::Command;

/// A short break of the network is survived; a peer that has been gone for a minute is noticed. Needs root, for a
/// network namespace whose loopback can be taken down under an open stream.
#[test]
fn a_peer_that_vanishes_without_a_word_is_noticed_within_a_minute() {
    let may = Command::new("unshare").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    if !may {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI runs this test as root, with unshare and ip");
        eprintln!("NOT TESTED: a vanished peer, as only root may make a network namespace (unshare -n)");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/vanish.sh");
    let arguments = ["-n", "bash", script, env!("CARGO_BIN_EXE_parlour"), "5", "55"];
    let output = Command::new("unshare").args(arguments).output().unwrap();
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.split_whitespace().collect::<Vec<_>>(), ["1", "0"], "{errors}");
}
