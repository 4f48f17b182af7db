//! The acts in a group by role of the actor and the target, as tables. A refused act has changed nothing.

use serde_json::{Value, json};

use crate::support::{Group, Reply, Session, TestApp, entry, role_entry, text};

/// The columns of the tables below: the target's standing. No target is the last superadmin.
const TARGETS: [&str; 7] = ["superadmin", "admin", "member", "requested", "banned", "stranger", "oneself"];

// `200` and `204` alone change nothing. `200:member:2`: the target becomes a member, and an entry of code 2 is written;
// with a dash no entry is. `403` is `forbidden`, `404` `not_found`, `409` is `user_banned` for adding, and
// `no_further_role` for promoting or demoting.

const BY_A_SUPERADMIN: &str = "
    add      200             200             200             200:member:2    409             200:member:2  200
    kick     204:stranger:4  204:stranger:4  204:stranger:4  204:stranger:-  204             204           204:stranger:4
    promote  409             200:superadmin:5  200:admin:5   404             404             404           409
    demote   200:admin:9     200:member:9    409             404             404             404           200:admin:9
    ban      204:banned:8    204:banned:8    204:banned:8    204:banned:-    204             204:banned:-  204:banned:8
    unban    204             204             204             204             204:stranger:-  204           204
";

const BY_AN_ADMIN: &str = "
    add      403             200             200             200:member:2    409             200:member:2  200
    kick     403             204:stranger:4  204:stranger:4  204:stranger:-  204             204           204:stranger:4
    promote  403             403             200:admin:5     404             404             404           403
    demote   403             200:member:9    409             404             404             404           200:member:9
    ban      403             204:banned:8    204:banned:8    204:banned:-    204             204:banned:-  204:banned:8
    unban    403             204             204             204             204:stranger:-  204           204
";

const BY_ANYONE_ELSE: &str = "
    add      403             403             403             403             403             403           403
    kick     403             403             403             403             403             403           403
    promote  403             403             403             403             403             403           403
    demote   403             403             403             403             403             403           403
    ban      403             403             403             403             403             403           403
    unban    403             403             403             403             403             403           403
";

/// The columns of the next table: the actor's standing.
const ACTORS: [&str; 6] = ["superadmin", "admin", "member", "requested", "banned", "stranger"];

/// The acts on the group itself, which is closed except in the last row.
const ON_THE_GROUP: &str = "
    read             200  200  200  200  200  200
    patch            200  200  403  403  403  403
    list_members     200  200  200  403  403  403
    list_requested   200  200  403  403  403  403
    list_banned      200  200  403  403  403  403
    delete           204  403  403  403  403  403
    list_when_open   200  200  200  200  200  200
";

/// The rows of a table: an act, and its result for each column.
fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    table.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap(), words.collect())
    })
}

async fn act(group: &Group, act: &str, by: &Session, user: &Session) -> Reply {
    match act {
        "add" => group.add(by, user).await,
        "kick" => group.kick(by, user).await,
        "promote" => group.promote(by, user).await,
        "demote" => group.demote(by, user).await,
        "ban" => group.ban(by, user).await,
        _ => group.unban(by, user).await,
    }
}

/// All that an act in a group could change, as its owner sees it.
async fn snapshot(group: &Group, owner: &Session) -> Value {
    json!({
        "group": group.read(owner).await,
        "member": group.everyone(owner, "member").await,
        "requested": group.everyone(owner, "requested").await,
        "banned": group.everyone(owner, "banned").await,
        "last_seq": owner.last_seq(&group.topic).await,
    })
}

/// The lists of a snapshot without this user.
fn others(snapshot: &Value, user: &Session) -> Value {
    let without = |state: &str| {
        let everyone = snapshot[state].as_array().unwrap().iter();
        everyone.filter(|line| line["user"] != user.user()).cloned().collect::<Vec<_>>()
    };
    json!({"member": without("member"), "requested": without("requested"), "banned": without("banned")})
}

/// An owner, who only reads, an actor, and one target of each standing.
struct Cast {
    owner: Session,
    actor: Session,
    targets: Vec<Session>,
}

impl Cast {
    async fn new(app: &TestApp) -> Self {
        let (owner, actor) = (app.session("owner").await, app.session("actor").await);
        let mut targets = app.sessions("target", TARGETS.len() - 1).await;
        targets.push(actor.clone());
        Self { owner, actor, targets }
    }

    /// Makes a closed group in which the actor has this standing, and every target the standing of its column.
    async fn group(&self, role: &str) -> Group {
        let group = Group::closed(&self.owner).await;
        group.make(&self.owner, &self.actor, role).await;
        for (standing, target) in TARGETS[..6].iter().zip(&self.targets) {
            group.make(&self.owner, target, standing).await;
        }
        group
    }

    /// Tries every act of the table on every target, each in a new group.
    async fn try_all(&self, role: &str, table: &'static str) {
        let mut group = self.group(role).await;
        let mut before = snapshot(&group, &self.owner).await;
        let mut tried = 0;
        for (what, cells) in rows(table) {
            assert_eq!(cells.len(), TARGETS.len(), "{what}");
            for ((standing, target), cell) in TARGETS.iter().zip(&self.targets).zip(cells) {
                let described = format!("{role}: {what} {standing}: {cell}");
                let standing = group.standing(target).await;
                let reply = act(&group, what, &self.actor, target).await;
                let after = snapshot(&group, &self.owner).await;
                let new = check(&reply, what, cell, &described);
                if let Some((new, code)) = new {
                    assert_eq!(group.standing(target).await, new, "{described}");
                    assert_eq!(others(&after, target), others(&before, target), "{described}");
                    self.check_log(&group, &before, target, code, new).await;
                    group = self.group(role).await;
                    before = snapshot(&group, &self.owner).await;
                } else {
                    assert_eq!(group.standing(target).await, standing, "{described}");
                    assert_eq!(after, before, "{described}");
                }
                if reply.status == 200 {
                    assert_eq!(reply.json()["user"], target.user(), "{described}");
                    assert_eq!(text(&reply.json(), "role"), new.map_or(&*standing, |(new, _)| new), "{described}");
                }
                tried += 1;
            }
        }
        assert_eq!(tried, 6 * TARGETS.len());
    }

    /// Checks that the log has one entry more if there is a code, and none more if there is none.
    async fn check_log(&self, group: &Group, before: &Value, target: &Session, code: Option<u64>, new: &str) {
        let log = group.log(&self.owner).await;
        let expected = code.map(|code| match code {
            5 | 9 => role_entry(code, target, &self.actor, new),
            _ => entry(code, target, &self.actor),
        });
        let from = usize::try_from(before["last_seq"].as_u64().unwrap()).unwrap();
        assert_eq!(log[from..], expected.into_iter().collect::<Vec<_>>());
    }
}

/// Checks a reply against its cell. If the act changes something, returns the target's new standing and the entry's
/// code.
fn check<'a>(reply: &Reply, what: &str, cell: &'a str, described: &str) -> Option<(&'a str, Option<u64>)> {
    let mut parts = cell.split(':');
    let status: u16 = parts.next().unwrap().parse().unwrap();
    assert_eq!(reply.status, status, "{described}: {reply:?}");
    if status >= 400 {
        let code = match (status, what) {
            (403, _) => "forbidden",
            (404, _) => "not_found",
            (_, "add") => "user_banned",
            _ => "no_further_role",
        };
        assert_eq!(reply.refused(status), code, "{described}");
    } else {
        reply.expect(status);
    }
    parts.next().map(|standing| (standing, parts.next().unwrap().parse().ok()))
}

#[tokio::test(flavor = "multi_thread")]
async fn superadmins_act_on_everyone() {
    let app = TestApp::start().await;
    Cast::new(&app).await.try_all("superadmin", BY_A_SUPERADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_act_on_everyone_but_superadmins_and_make_no_superadmins() {
    let app = TestApp::start().await;
    Cast::new(&app).await.try_all("admin", BY_AN_ADMIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_acts_on_anyone() {
    let app = TestApp::start().await;
    let cast = Cast::new(&app).await;
    for role in ["member", "requested", "banned", "stranger"] {
        cast.try_all(role, BY_ANYONE_ELSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_change_the_group_and_superadmins_delete_it() {
    let app = TestApp::start().await;
    let cast = Cast::new(&app).await;
    for (column, role) in ACTORS.iter().enumerate() {
        let group = cast.group(role).await;
        let actor = &cast.actor;
        for (what, cells) in rows(ON_THE_GROUP) {
            let cell = cells[column];
            let group = if cell == "204" { cast.group(role).await } else { group.clone() };
            let before = snapshot(&group, &cast.owner).await;
            let reply = match what {
                "read" => actor.get(&group.path("")).await,
                "patch" => group.patch(actor, &json!({"name": format!("changed by {role}")})).await,
                "delete" => group.delete(actor).await,
                "list_members" => actor.get(&group.path("/members")).await,
                "list_when_open" => {
                    group.patch(&cast.owner, &json!({"open": true})).await.expect(200);
                    actor.get(&group.path("/members?state=member")).await
                }
                list => actor.get(&group.path(&format!("/members?state={}", &list["list_".len()..]))).await,
            };
            check(&reply, what, cell, &format!("{role}: {what}: {cell}"));
            if reply.status == 204 {
                assert_eq!(cast.owner.get(&group.path("")).await.refused(404), "not_found");
                continue;
            }
            let after = snapshot(&group, &cast.owner).await;
            match (what, reply.status) {
                ("patch", 200) => assert_eq!(after["group"]["name"], format!("changed by {role}")),
                ("list_when_open", _) => {}
                _ => assert_eq!(after, before, "{role}: {what}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_superadmin_stays_one() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let (alone, group) = (Group::of(&ana, &[]).await, Group::of(&ana, &[&cleo]).await);
    group.make(&ana, &bea, "admin").await;
    for group in [alone, group] {
        let before = snapshot(&group, &ana).await;
        for what in ["kick", "demote", "ban"] {
            assert_eq!(act(&group, what, &ana, &ana).await.refused(409), "last_superadmin", "{what}");
            if before["group"]["member_count"] == 3 {
                assert_eq!(act(&group, what, &bea, &ana).await.refused(403), "forbidden", "{what}: a higher role");
                assert_eq!(act(&group, what, &cleo, &ana).await.refused(403), "forbidden", "{what}: a member");
            }
            assert_eq!(snapshot(&group, &ana).await, before, "{what}");
        }
        assert_eq!(group.promote(&ana, &ana).await.refused(409), "no_further_role");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_superadmin_frees_the_first() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for what in ["kick", "demote", "ban"] {
        for by_oneself in [true, false] {
            let group = Group::closed(&ana).await;
            group.make(&ana, &bea, "superadmin").await;
            let reply = act(&group, what, if by_oneself { &ana } else { &bea }, &ana).await;
            assert!([200, 204].contains(&reply.status), "{what}: {reply:?}");
            assert_eq!(act(&group, what, &bea, &bea).await.refused(409), "last_superadmin", "{what}");
            assert_eq!(group.standing(&bea).await, "superadmin");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_come_in_one_order() {
    let app = TestApp::start().await;
    let (ana, bea, cleo) = (app.session("ana").await, app.session("bea").await, app.session("cleo").await);
    let nobody = Session { user_id: "nobody".to_owned(), ..cleo.clone() };
    let group = Group::create(&ana, &json!({"name": "full", "max_members": 2})).await;
    group.make(&ana, &bea, "admin").await;
    for what in ["add", "kick", "promote", "demote", "ban", "unban"] {
        for by in [&ana, &bea, &cleo] {
            assert_eq!(act(&Group::unknown(), what, by, &nobody).await.refused(404), "not_found", "{what}");
        }
        assert_eq!(act(&group, what, &cleo, &nobody).await.refused(403), "forbidden", "{what} by a stranger");
        for by in [&ana, &bea] {
            assert_eq!(act(&group, what, by, &nobody).await.refused(404), "not_found", "{what} of nobody");
        }
    }
    let strange = Session { user_id: "no user id!".to_owned(), ..cleo };
    for what in ["add", "kick", "promote", "demote", "ban", "unban"] {
        act(&group, what, &ana, &strange).await.refused_as(&[404, 422]);
    }
    assert_eq!(group.codes(&ana).await, [2, 5]);
}
