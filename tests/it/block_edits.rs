//! Edits and removals where one of two users blocks the other: no message can be edited, one's own can be removed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Session, TestApp, encode};

fn block_of(user: &Session) -> String {
    format!("/v1/me/blocks/{}", encode(&user.user_id))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_either_blocks_the_other_nothing_is_edited_and_ones_own_can_be_removed() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let dm = ana.join(&format!("dm:{}", bea.user_id)).await["topic"]["id"].as_str().unwrap().to_owned();
    for (blocker, blocked) in [(&ana, &bea), (&bea, &ana)] {
        ana.join(&dm).await;
        bea.join(&dm).await;
        let (hers, theirs) = (ana.send(&dm, json!("a")).await, bea.send(&dm, json!("b")).await);
        ana.join("room:lobby").await;
        let elsewhere = ana.send("room:lobby", json!("a")).await;
        blocker.call(Method::PUT, &block_of(blocked)).send().await.expect(204);
        let end = ana.last_seq(&dm).await;
        assert_eq!(ana.try_edit(&hers, json!("A")).await.refused(403), "blocked");
        assert_eq!(bea.try_edit(&theirs, json!("B")).await.refused(403), "blocked");
        assert_eq!(ana.try_edit(&theirs, json!("B")).await.refused(403), "forbidden");
        assert_eq!(ana.try_remove(&theirs).await.refused(403), "forbidden");
        assert_eq!(ana.last_seq(&dm).await, end, "what is refused changes nothing");
        ana.edit(&elsewhere, json!("rooms are unaffected")).await;
        ana.remove(&hers).await;
        ana.remove(&hers).await;
        assert_eq!(bea.read(&hers).await["content"], Value::Null, "history stays readable for both");
        assert_eq!(ana.last_seq(&dm).await, end + 1);
        blocker.delete(&block_of(blocked)).await.expect(204);
        assert_eq!(bea.edit(&theirs, json!("B")).await["content"], "B");
        assert_eq!(ana.try_edit(&hers, json!("A")).await.refused(409), "message_removed");
    }
}
