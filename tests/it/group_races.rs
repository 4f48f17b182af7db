//! Concurrent acts of several users on a group: each round ends as if one act had come after the other.

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::support::{Group, Reply, Session, TestApp, entry, role_entry, text};

const ROUNDS: usize = 40;

async fn three() -> (TestApp, Session, Session, Session) {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    (app, ana, bea, cleo)
}

/// Counts the replies by status, as (status, count), in the order of the status.
fn statuses(replies: &[Reply]) -> Vec<(u16, usize)> {
    let mut counted = std::collections::BTreeMap::new();
    for reply in replies {
        *counted.entry(reply.status).or_default() += 1;
    }
    counted.into_iter().collect()
}

/// Checks that the lists and the counter agree, and that no user is in two lists.
async fn check_count(group: &Group, by: &Session) {
    let members = group.ids(by, "member").await;
    assert_eq!(group.read(by).await["member_count"], members.len());
    let mut all = members;
    for state in ["requested", "banned"] {
        all.extend(group.ids(by, state).await);
    }
    let listed = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), listed, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_superadmins_who_go_at_once_one_remains() {
    let (_app, ana, bea, cleo) = three().await;
    for round in 0..ROUNDS {
        let group = Group::of(&ana, &[&cleo]).await;
        group.make(&ana, &bea, "superadmin").await;
        let (ways, done, refused) = match round % 5 {
            0 => (join(group.leave(&ana), group.leave(&bea)).await, 204, (409, "last_superadmin")),
            1 => (join(group.demote(&ana, &ana), group.demote(&bea, &bea)).await, 200, (409, "last_superadmin")),
            2 => (join(group.demote(&ana, &bea), group.demote(&bea, &ana)).await, 200, (403, "forbidden")),
            3 => (join(group.kick(&ana, &bea), group.kick(&bea, &ana)).await, 204, (403, "forbidden")),
            _ => (join(group.ban(&ana, &bea), group.ban(&bea, &ana)).await, 204, (403, "forbidden")),
        };
        let replies = [ways.0, ways.1];
        let mut expected = vec![(done, 1), (refused.0, 1)];
        expected.sort_unstable();
        assert_eq!(statuses(&replies), expected, "{replies:?}");
        let loser = replies.iter().find(|reply| reply.status >= 400).unwrap();
        assert_eq!(loser.refused(refused.0), refused.1);
        let roles: Vec<String> =
            group.everyone(&cleo, "member").await.iter().map(|line| text(line, "role").to_owned()).collect();
        assert_eq!(roles.iter().filter(|role| *role == "superadmin").count(), 1, "{roles:?}");
        assert_eq!(group.codes(&cleo).await.len(), 5, "one entry more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_superadmins_alone_the_last_to_leave_takes_the_group_along() {
    let (_app, ana, bea, _) = three().await;
    for _ in 0..ROUNDS {
        let group = Group::of(&ana, &[]).await;
        group.make(&ana, &bea, "superadmin").await;
        let (one, other) = join(group.leave(&ana), group.leave(&bea)).await;
        assert_eq!(statuses(&[one, other]), [(204, 2)]);
        for session in [&ana, &bea] {
            assert_eq!(session.get(&group.path("")).await.refused(404), "not_found");
            session.try_join(&group.topic).await.refused(404);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_join_for_one_place_one_gets_it() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let users = app.sessions("user", 20).await;
    for round in 0..12 {
        let group = Group::create(&ana, &json!({"name": "two", "max_members": 2})).await;
        // In every other round some are added by the owner instead of joining.
        let adds = if round % 2 == 0 { 0 } else { 7 };
        let tries = users.iter().enumerate().map(|(at, user)| {
            let (group, ana) = (&group, &ana);
            async move { if at < adds { group.add(ana, user).await } else { group.join(user).await } }
        });
        let replies = join_all(tries).await;
        assert_eq!(statuses(&replies), [(200, 1), (409, 19)]);
        assert!(replies.iter().all(|reply| reply.status == 200 || reply.refused(409) == "group_full"));
        assert_eq!(group.ids(&ana, "member").await.len(), 2);
        check_count(&group, &ana).await;
        assert_eq!(group.codes(&ana).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_many_times_at_once_is_one_member() {
    let (_app, ana, bea, _) = three().await;
    for round in 0..ROUNDS {
        let group = if round % 2 == 0 { Group::of(&ana, &[]).await } else { Group::closed(&ana).await };
        let replies = join_all((0..4).map(|_| group.join(&bea))).await;
        assert_eq!(statuses(&replies), [(200, 4)]);
        assert!(replies.iter().all(|reply| reply.json() == replies[0].json()));
        assert_eq!(group.codes(&ana).await.len(), (round + 1) % 2);
        check_count(&group, &ana).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_during_a_kick_leaves_no_role_without_membership() {
    let (_app, ana, bea, cleo) = three().await;
    for round in 0..ROUNDS {
        let group = Group::of(&ana, &[&cleo]).await;
        group.make(&ana, &bea, "superadmin").await;
        let ban = round % 2 == 1;
        let removing = async { if ban { group.ban(&bea, &cleo).await } else { group.kick(&bea, &cleo).await } };
        let (promoted, removed) = join(group.promote(&ana, &cleo), removing).await;
        removed.expect(204);
        let mut expected = vec![entry(if ban { 8 } else { 4 }, &cleo, &bea)];
        if promoted.status == 200 {
            expected.insert(0, role_entry(5, &cleo, &ana, "admin"));
        } else {
            assert_eq!(promoted.refused(404), "not_found");
        }
        assert_eq!(group.log(&ana).await[4..], expected);
        assert_eq!(group.standing(&cleo).await, if ban { "banned" } else { "stranger" });
        assert!(!group.ids(&ana, "member").await.contains(&cleo.user_id));
        assert_eq!(group.patch(&cleo, &json!({"name": "mine"})).await.refused(403), "forbidden");
        check_count(&group, &ana).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_either_accepted_and_left_or_withdrawn_and_added() {
    let (_app, ana, bea, _) = three().await;
    for _ in 0..ROUNDS {
        let group = Group::closed(&ana).await;
        group.make(&ana, &bea, "requested").await;
        let (added, left) = join(group.add(&ana, &bea), group.leave(&bea)).await;
        assert_eq!(added.expect(200)["role"], "member");
        left.expect(204);
        let codes = group.codes(&ana).await;
        match group.standing(&bea).await.as_str() {
            "member" => assert_eq!(codes, [2], "withdrawn, then added"),
            "stranger" => assert_eq!(codes, [2, 3], "accepted, then left"),
            other => panic!("{other}: {codes:?}"),
        }
        check_count(&group, &ana).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_accepted_or_declined_and_not_both() {
    let (_app, ana, bea, cleo) = three().await;
    for _ in 0..ROUNDS {
        let group = Group::closed(&ana).await;
        group.make(&ana, &bea, "admin").await;
        group.make(&ana, &cleo, "requested").await;
        let (added, declined) = join(group.add(&ana, &cleo), group.kick(&bea, &cleo)).await;
        added.expect(200);
        declined.expect(204);
        let codes = group.codes(&ana).await;
        match group.standing(&cleo).await.as_str() {
            "member" => assert_eq!(codes, [2, 5, 2], "declined, then added"),
            "stranger" => assert_eq!(codes, [2, 5, 2, 4], "accepted, then kicked"),
            other => panic!("{other}: {codes:?}"),
        }
        check_count(&group, &ana).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_wins_over_joins_and_adds_at_the_same_moment() {
    let (_app, ana, bea, cleo) = three().await;
    for round in 0..ROUNDS {
        let group = Group::of(&ana, &[]).await;
        group.make(&ana, &bea, "admin").await;
        let by_add = round % 2 == 1;
        let coming = async { if by_add { group.add(&bea, &cleo).await } else { group.join(&cleo).await } };
        let (came, banned) = join(coming, group.ban(&ana, &cleo)).await;
        banned.expect(204);
        let codes = group.codes(&ana).await;
        if came.status == 200 {
            assert_eq!(codes[2..], [if by_add { 2 } else { 1 }, 8]);
        } else {
            let (status, code) = if by_add { (409, "user_banned") } else { (403, "banned") };
            assert_eq!(came.refused(status), code);
            assert_eq!(codes.len(), 2);
        }
        assert_eq!(group.standing(&cleo).await, "banned");
        check_count(&group, &ana).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_is_removed_twice_at_once_gets_one_entry() {
    let (_app, ana, bea, cleo) = three().await;
    for round in 0..ROUNDS {
        let group = Group::of(&ana, &[&cleo]).await;
        group.make(&ana, &bea, "admin").await;
        let (replies, codes) = match round % 4 {
            0 => (join_all([&ana, &bea, &ana].map(|by| group.kick(by, &cleo))).await, &[4][..]),
            1 => (join_all([&ana, &bea, &ana].map(|by| group.ban(by, &cleo))).await, &[8][..]),
            2 => (join_all((0..3).map(|_| group.leave(&cleo))).await, &[3][..]),
            _ => {
                let (left, kicked) = join(group.leave(&cleo), group.kick(&ana, &cleo)).await;
                (vec![left, kicked], &[3, 4][..])
            }
        };
        assert!(replies.iter().all(|reply| reply.status == 204), "{replies:?}");
        let told = group.codes(&ana).await[3..].to_vec();
        assert!(told.len() == 1 && codes.contains(&told[0]), "one of {codes:?}: {told:?}");
        check_count(&group, &ana).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promotions_at_once_go_up_one_step_each() {
    let (_app, ana, bea, cleo) = three().await;
    for round in 0..ROUNDS {
        let group = Group::of(&ana, &[&cleo]).await;
        if round % 2 == 0 {
            let replies = join_all((0..4).map(|_| group.promote(&ana, &cleo))).await;
            assert_eq!(statuses(&replies), [(200, 2), (409, 2)]);
            let expected = [role_entry(5, &cleo, &ana, "admin"), role_entry(5, &cleo, &ana, "superadmin")];
            assert_eq!(group.log(&ana).await[1..], expected);
        } else {
            group.make(&ana, &bea, "admin").await;
            let replies = join_all((0..4).map(|_| group.promote(&bea, &cleo))).await;
            assert_eq!(statuses(&replies), [(200, 1), (403, 3)], "an admin makes no superadmin");
            assert_eq!(group.log(&ana).await[3..], [role_entry(5, &cleo, &bea, "admin")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_group_ends_whatever_goes_on_in_it() {
    let (_app, ana, bea, cleo) = three().await;
    for round in 0..ROUNDS {
        let group = Group::of(&ana, &[&cleo]).await;
        let other = async {
            match round % 4 {
                0 => group.join(&bea).await,
                1 => group.promote(&ana, &cleo).await,
                2 => cleo.try_join(&group.topic).await,
                _ => group.delete(&ana).await,
            }
        };
        let (deleted, other) = join(group.delete(&ana), other).await;
        if round % 4 == 3 {
            assert_eq!(statuses(&[deleted, other]), [(204, 1), (404, 1)], "only one of two deletes it");
        } else {
            deleted.expect(204);
            assert!([200, 404].contains(&other.status), "{other:?}");
        }
        for session in [&ana, &bea, &cleo] {
            session.get(&group.path("")).await.refused(404);
            session.try_join(&group.topic).await.refused(404);
            session.try_send(&group.topic, json!(1)).await.refused(404);
            assert_eq!(session.get("/v1/session/topics").await.expect(200)["topics"], json!([]));
            assert_eq!(session.get("/v1/me/groups").await.expect(200)["groups"], json!([]));
        }
    }
}
