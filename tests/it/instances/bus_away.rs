//! Without a bus, or while it is away, each instance learns from the database what the others do.

use super::*;
use crate::support::{Group, seqs, until_left};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bus_everything_comes_all_the_same_only_later() {
    let Some(cluster) = Cluster::start(Route::Local, &["--presence-grace", "1s"]).await else { return };
    everything_comes(&cluster).await;
}

/// One change of each kind at the other instance, which must arrive with or without a hint.
pub(super) async fn everything_comes(cluster: &Cluster) {
    let (ana, bob) = ana_and_bob(cluster).await;
    let mut stream = bob.stream().await;
    within(&mut stream, LATER, "presence_state", |_| true).await;
    let sent = ana.send(ROOM, json!("later")).await;
    assert_eq!(within(&mut stream, LATER, "message", |_| true).await.data, sent);
    let cleo = cluster.one.session("Cleo").await;
    cleo.join(ROOM).await;
    let mut kept = cleo.stream().await;
    kept.ready().await;
    within(&mut stream, LATER, "presence", |data| joins(data, &cleo)).await;
    bob.at(&cluster.one).join("room:second").await;
    within(&mut stream, LATER, "presence_state", |data| data["topic"] == "room:second").await;
    bob.at(&cluster.one).leave("room:second").await;
    within(&mut stream, LATER, "left", |data| data["topic"] == "room:second").await;
    let dm = text(&ana.join(&ana.dm(&bob)).await["topic"], "id").to_owned();
    for seq in 1..=2 {
        ana.send(&dm, json!("psst")).await;
        let activity = within(&mut stream, LATER, "activity", |_| true).await;
        assert_eq!(activity.data, json!({"topic": dm, "last_seq": seq}));
    }
    bob.join(&dm).await;
    within(&mut stream, LATER, "presence_state", |data| data["topic"] == *dm).await;
    ana.block(&bob).await;
    assert_eq!(within(&mut stream, LATER, "left", |_| true).await.data["reason"], "blocked");
    let mut second = cleo.at(&cluster.two).stream().await;
    second.ready().await;
    assert_eq!(within(&mut kept, LATER, "bye", |_| true).await.data["reason"], "replaced");
    cleo.at(&cluster.one).delete("/v1/session").await.expect(204);
    assert_eq!(within(&mut second, LATER, "bye", |_| true).await.data["reason"], "signed_out");
    within(&mut stream, LATER, "presence", |data| leaves(data, &cleo)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_bus_is_away_the_service_goes_on_a_little_slower() {
    let Some(mut cluster) = Cluster::start(Route::Nats, &["--presence-grace", "1s"]).await else { return };
    let (ana, bob) = ana_and_bob(&cluster).await;
    let mut stream = bob.stream().await;
    soon(&mut stream, "presence_state").await;
    assert_eq!(cluster.two.get("/readyz").send().await.expect(200), json!({"status": "ok", "bus": "ok"}));
    cluster.nats.as_mut().unwrap().kill9();
    until_bus(&cluster, "away").await;
    for n in 0..5 {
        ana.send(ROOM, json!(n)).await;
        assert_eq!(soon(&mut stream, "message").await.data["content"], json!(n));
    }
    let cleo = cluster.one.session("Cleo").await;
    cleo.join(ROOM).await;
    let _cleos = cleo.stream().await;
    within(&mut stream, LATER, "presence", |data| joins(data, &cleo)).await;
    cluster.nats.as_mut().unwrap().rise().await;
    until_bus(&cluster, "ok").await;
    ana.send(ROOM, json!("back")).await;
    assert_eq!(soon(&mut stream, "message").await.data["content"], json!("back"));
    let metrics = cluster.two.get("/metrics").send().await;
    assert!(metrics.text().contains("parlour_bus_up 1"), "{metrics:?}");
}

async fn until_bus(cluster: &Cluster, state: &str) {
    let since = Instant::now();
    for app in [&cluster.one, &cluster.two] {
        while app.get("/readyz").send().await.expect(200)["bus"] != state {
            assert!(since.elapsed() < LATER, "the bus is not {state}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_users_of_a_direct_message_get_its_activity() {
    let Some(cluster) = Cluster::start(Route::Local, &[]).await else { return };
    let (ana, phone) = (cluster.one.session("Ana").await, cluster.two.session("Ana").await);
    let mut phones = phone.stream().await;
    phones.ready().await;
    // Users are compared with the database in turns: not all of these in Ana's turn.
    let bobs = cluster.two.sessions("Bob", 4).await;
    let mut streams = Vec::new();
    for bob in &bobs {
        streams.push(bob.stream().await);
        streams.last_mut().unwrap().ready().await;
    }
    for (bob, stream) in bobs.iter().zip(&mut streams) {
        let dm = text(&ana.join(&ana.dm(bob)).await["topic"], "id").to_owned();
        ana.send(&dm, json!("psst")).await;
        within(stream, LATER, "activity", |data| data["topic"] == *dm).await;
        let told = phones.next_of("activity").await;
        assert_eq!(told.data, json!({"topic": dm, "last_seq": 1}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_a_removal_sees_nothing_of_it_whatever_the_instances_tell_each_other() {
    let Some(cluster) = Cluster::start(Route::Local, &[]).await else { return };
    let (_ana, bob) = ana_and_bob(&cluster).await;
    let mut stream = bob.stream().await;
    stream.ready().await;
    let id = stream.last_id();
    // From here on it is in the topic's tail on his instance.
    let sent = bob.send(ROOM, json!("a secret")).await;
    assert_eq!(soon(&mut stream, "message").await.data, sent);
    bob.at(&cluster.one).remove(&sent).await;
    let messages = bob.stream_from(&id).await.messages(2).await;
    assert_eq!(messages[0]["content"], Value::Null, "{messages:#?}");
    assert_eq!(number(&messages[1], "code"), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_kicked_sees_nobody_come_any_more_whatever_the_instances_tell_each_other() {
    let Some(cluster) = Cluster::start(Route::Local, &[]).await else { return };
    let (ana, bob) = (cluster.one.session("Ana").await, cluster.two.session("Bob").await);
    let dora = cluster.two.session("Dora").await;
    let group = Group::of(&ana, &[&bob, &dora]).await;
    bob.join(&group.topic).await;
    let mut stream = bob.stream().await;
    within(&mut stream, SOON, "presence_state", |data| data["topic"] == *group.topic).await;
    group.kick(&ana, &bob).await.expect(204);
    // Dora joins at his own instance; of the kick his instance gets no hint.
    dora.join(&group.topic).await;
    let (messages, reason) = until_left(&mut stream, &group.topic).await;
    assert_eq!((seqs(&messages), reason.as_str()), (vec![3], "kicked"), "{messages:#?}");
    assert!(!stream.seen().iter().any(|event| event.contains(&dora.id)), "{:#?}", stream.seen());
}
