//! The latency of a message to the other instance: figures for docs/operations.md, run by hand.

use super::*;

/// Not a test but a measurement: `cargo test --release --test it latency -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints numbers, and holds nothing against them"]
async fn latency_from_a_send_to_the_event_on_the_other_instance() {
    for route in [Route::Postgres, Route::Nats] {
        let Some(cluster) = Cluster::start(route, &[]).await else { return };
        let (ana, bob) = ana_and_bob(&cluster).await;
        let mut stream = bob.stream().await;
        soon(&mut stream, "presence_state").await;
        let (mut times, mut acknowledged) = (Vec::new(), Vec::new());
        for n in 0..1_000 {
            let since = Instant::now();
            let (_, acknowledgement) = tokio::join!(
                async {
                    soon(&mut stream, "message").await;
                    times.push(since.elapsed());
                },
                async {
                    ana.send(ROOM, json!(n)).await;
                    since.elapsed()
                },
            );
            acknowledged.push(acknowledgement);
        }
        for (what, times) in [("event", &mut times), ("201", &mut acknowledged)] {
            times.sort_unstable();
            eprintln!("{route:?}: send to {what}: p50 {:.2?}, p99 {:.2?}", times[499], times[989]);
        }
    }
}
