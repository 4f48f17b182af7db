//! Groups: making, finding, changing and deleting them. `group_roles` tests who may do so.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Group, TestApp, encode, list, members, text, whole_list};

/// The members of a group as a stranger sees it; others see their `state`, members their `role`, too.
const SHAPE: [&str; 8] = ["created_at", "description", "id", "max_members", "member_count", "name", "open", "topic"];

fn names(groups: &[Value]) -> Vec<&str> {
    groups.iter().map(|group| text(group, "name")).collect()
}

fn ids(groups: &[Value]) -> Vec<&str> {
    groups.iter().map(|group| text(group, "id")).collect()
}

/// True if a text starts with another one, ignoring case. It compares character by character: the case of a character
/// does not depend on what follows it.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Bodies with one wrong value each.
fn wrong_bodies() -> Vec<Value> {
    vec![
        json!({"name": ""}),
        json!({"name": "x".repeat(101)}),
        json!({"name": "é".repeat(101)}),
        json!({"name": "two\nlines"}),
        json!({"name": "nul\u{0}"}),
        json!({"name": "del\u{7f}"}),
        json!({"name": "c1\u{85}"}),
        json!({"name": 1}),
        json!({"name": ["x"]}),
        json!({"name": "x", "description": "x".repeat(501)}),
        json!({"name": "x", "description": "é".repeat(501)}),
        json!({"name": "x", "description": "tab\t"}),
        json!({"name": "x", "description": 1}),
        json!({"name": "x", "open": "yes"}),
        json!({"name": "x", "open": 1}),
        json!({"name": "x", "max_members": 0}),
        json!({"name": "x", "max_members": -1}),
        json!({"name": "x", "max_members": 10_001}),
        json!({"name": "x", "max_members": 4_294_967_297_u64}),
        json!({"name": "x", "max_members": 1.5}),
        json!({"name": "x", "max_members": "10"}),
        json!({"name": "x", "colour": "red"}),
        json!({"name": "x", "id": Uuid::now_v7()}),
        json!({"name": "x", "role": "superadmin"}),
        json!(["x"]),
        json!("x"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_has_its_creator_as_superadmin_and_an_empty_history() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let made = ana.post("/v1/groups", &json!({"name": "Chess"})).await.expect(201);
    let mut shape = SHAPE.to_vec();
    shape.extend(["role", "state"]);
    shape.sort_unstable();
    assert_eq!(members(&made), shape);
    let id = text(&made, "id");
    let uuid: Uuid = id.parse().unwrap();
    assert_eq!((uuid.get_version_num(), uuid.to_string()), (7, id.to_owned()));
    let expected = json!({
        "id": id, "topic": format!("group:{id}"), "name": "Chess", "description": "", "open": true, "max_members": 100,
        "member_count": 1, "created_at": made["created_at"], "state": "member", "role": "superadmin",
    });
    assert_eq!(made, expected);
    text(&made, "created_at").parse::<jiff::Timestamp>().unwrap();
    assert_eq!(ana.get(&format!("/v1/groups/{id}")).await.expect(200), made);

    let group = Group { id: id.to_owned(), topic: format!("group:{id}") };
    let seen = group.read(&bea).await;
    assert_eq!(members(&seen), SHAPE, "a stranger has no state and no role");
    let everyone = group.everyone(&ana, "member").await;
    assert_eq!(everyone.len(), 1);
    assert_eq!((&everyone[0]["user"], &everyone[0]["role"]), (&ana.user(), &json!("superadmin")));
    assert_eq!(group.log(&ana).await, Vec::<Value>::new(), "creating a group writes nothing");
    assert_eq!(ana.last_seq(&group.topic).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_groups_values_come_back_as_they_were_given_up_to_their_limits() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let bodies = [
        json!({"name": "x", "description": "", "open": true, "max_members": 1}),
        json!({"name": "é".repeat(100), "description": "é".repeat(500), "open": false, "max_members": 10_000}),
        json!({"name": "😀".repeat(100), "description": "😀".repeat(500)}),
        json!({"name": " <b>\"'\\ & % _ ", "description": " "}),
    ];
    for body in &bodies {
        let made = ana.post("/v1/groups", body).await.expect(201);
        for (member, value) in body.as_object().unwrap() {
            assert_eq!(made[member], *value);
        }
        assert_eq!(ana.get(&format!("/v1/groups/{}", text(&made, "id"))).await.expect(200), made);
    }
    assert_eq!(whole_list(&ana, "/v1/groups", "groups", 100).await.len(), bodies.len(), "names need not be unique");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_number_may_be_written_as_a_fraction() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for (written, max_members) in [("50.0", 50), ("5e1", 50), ("100000e-1", 10_000), ("1.0", 1)] {
        let body = format!("{{\"name\": \"x\", \"max_members\": {written}}}");
        let made = ana.call(Method::POST, "/v1/groups").body(body).send().await.expect(201);
        assert_eq!(made["max_members"], max_members, "{written}");
    }
    for written in ["50.5", "0.0", "-1.0", "10001.0", "1e300", "-1e300"] {
        let body = format!("{{\"name\": \"x\", \"max_members\": {written}}}");
        assert_eq!(ana.call(Method::POST, "/v1/groups").body(body).send().await.refused(422), "invalid", "{written}");
    }
    ana.join("room:lobby").await;
    ana.send("room:lobby", json!(1)).await;
    let mark = ana.try_mark_read("room:lobby", &json!({"seq": 1.0})).await.expect(200);
    assert_eq!(mark["read_seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values_make_and_change_nothing() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let group = Group::create(&ana, &json!({"name": "as it was", "description": "so", "max_members": 7})).await;
    let before = group.read(&ana).await;
    for body in wrong_bodies() {
        assert_eq!(ana.post("/v1/groups", &body).await.refused(422), "invalid", "{body}");
        assert_eq!(group.patch(&ana, &body).await.refused(422), "invalid", "{body}");
    }
    ana.post("/v1/groups", &json!({})).await.refused(422);
    ana.post("/v1/groups", &json!({"description": "no name"})).await.refused(422);
    ana.post("/v1/groups", &json!({"name": null})).await.refused(422);
    for (method, path) in [(Method::POST, "/v1/groups".to_owned()), (Method::PATCH, group.path(""))] {
        assert_eq!(ana.call(method, &path).body("{\"name\": ").send().await.refused(400), "malformed_json");
    }
    assert_eq!(whole_list(&ana, "/v1/groups", "groups", 100).await, [before]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_groups_are_404_and_malformed_ids_422() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let calls = |id: &str| {
        let member = format!("/members/{}", encode(&ana.user_id));
        let of_member = |act: &str| format!("{member}{act}");
        [
            (Method::GET, String::new()),
            (Method::PATCH, String::new()),
            (Method::DELETE, String::new()),
            (Method::POST, "/join".to_owned()),
            (Method::POST, "/leave".to_owned()),
            (Method::GET, "/members".to_owned()),
            (Method::GET, "/members?state=banned".to_owned()),
            (Method::PUT, of_member("")),
            (Method::DELETE, of_member("")),
            (Method::POST, of_member("/promote")),
            (Method::POST, of_member("/demote")),
            (Method::POST, of_member("/ban")),
            (Method::DELETE, format!("/bans/{}", encode(&ana.user_id))),
        ]
        .map(|(method, rest)| (method, format!("/v1/groups/{id}{rest}")))
    };
    for (id, status, code) in [(Group::unknown().id.as_str(), 404, "not_found"), ("chess", 422, "invalid")] {
        for (method, path) in calls(id) {
            let call = ana.call(method.clone(), &path);
            let call = if method == Method::PATCH { call.json(&json!({"name": "x"})) } else { call };
            assert_eq!(call.send().await.refused(status), code, "{method} {path}");
        }
    }
    for id in ["1", "00000000-0000-0000-0000-00000000000", "..%2Fchess", "%20", "é"] {
        ana.get(&format!("/v1/groups/{}", encode(id))).await.refused(422);
    }
    for path in ["/v1/groups", "/v1/me/groups", &Group::unknown().path("")] {
        app.get(path).send().await.refused(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_found_by_the_beginning_of_their_name_whatever_its_case() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let all: Vec<&str> =
        "Alpha|alpine|ALPS|beta|Ärger|ärzte|Äpfel|zebra|Zulu|a%b|a_b|a\\b|%|_x|Straße|ΟΔΟΣΑ|İzmir|日本| b|[a-z]\
                          |\u{d7ff}x|\u{10ffff}end|Ωmega|😀 smile"
            .split('|')
            .collect();
    for (at, name) in all.iter().enumerate() {
        ana.post("/v1/groups", &json!({"name": name, "open": at % 2 == 0})).await.expect(201);
    }
    let found = async |prefix: &str| {
        let path = format!("/v1/groups?prefix={}", encode(prefix));
        let groups = whole_list(&ana, &path, "groups", 4).await;
        names(&groups).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut sorted = all.clone();
    sorted.sort_by_key(|name| lower(name));
    let prefixes = "|a|A|al|AL|aLpI|alpha|ALPHAS|ä|Ä|är|ÄR|äpfel|z|ZU|%|_|a_|a%|a\\|stra|STRAß|οδ|İ|i|日| |[|ω|Ω|😀\
                    |\u{d7ff}|\u{10ffff}|\u{e000}|nothing";
    for prefix in prefixes.split('|') {
        let expected: Vec<&str> =
            sorted.iter().copied().filter(|name| lower(name).starts_with(&lower(prefix))).collect();
        assert_eq!(found(prefix).await, expected, "beginning with {prefix:?}, ordered by code points");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_found_by_every_beginning_of_its_name_in_any_case() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    // A capital sigma at the end of a word has a lower case of its own; a dotted capital i becomes two characters.
    for name in ["Straße", "ΟΔΟΣΑ", "İzmir", "ÄÖÜ e.V.", "日本", "x\\%_'", "\u{10ffff}\u{10ffff}"] {
        let group = Group::create(&ana, &json!({"name": name})).await;
        for end in name.char_indices().map(|(at, character)| at + character.len_utf8()) {
            for prefix in [name[..end].to_owned(), lower(&name[..end])] {
                let path = format!("/v1/groups?prefix={}", encode(&prefix));
                let found = whole_list(&ana, &path, "groups", 100).await;
                assert_eq!(ids(&found), [&group.id], "{name:?} begins with {prefix:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_equal_names_go_by_id_and_neither_repeat_nor_skip() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for name in ["same", "Same", "sAme", "SAME", "same", "samf", "sam", "same again", "same"] {
        Group::create(&ana, &json!({"name": name})).await;
    }
    let whole = whole_list(&ana, "/v1/groups", "groups", 100).await;
    let mut sorted = whole.clone();
    sorted.sort_by_key(|group| (lower(text(group, "name")), text(group, "id").to_owned()));
    assert_eq!(ids(&whole), ids(&sorted));
    assert_eq!(whole.len(), 9);
    for limit in 1..=9 {
        assert_eq!(whole_list(&ana, "/v1/groups", "groups", limit).await, whole, "in pages of {limit}");
        let found = whole_list(&ana, "/v1/groups?prefix=SAME", "groups", limit).await;
        assert_eq!(found, whole[1..8], "in pages of {limit}");
    }
    // Groups that are made and deleted between two pages do not change which others are listed.
    let page = ana.get("/v1/groups?limit=4").await.expect(200);
    let cursor = text(&page, "next_cursor");
    Group::create(&ana, &json!({"name": "earlier"})).await;
    ana.delete(&format!("/v1/groups/{}", ids(&whole)[3])).await.expect(204);
    let rest = ana.get(&format!("/v1/groups?limit=100&cursor={}", encode(cursor))).await.expect(200);
    assert_eq!(list(&rest, "groups"), &whole[4..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_refuse_what_they_do_not_know() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let group = Group::of(&ana, &[]).await;
    for path in ["/v1/groups".to_owned(), "/v1/me/groups".to_owned(), group.path("/members")] {
        for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "page=2", "limit=1&limit=2"] {
            assert_eq!(ana.get(&format!("{path}?{query}")).await.refused(422), "invalid", "{path}?{query}");
        }
        for cursor in ["x", "%21", "AAAA", ""] {
            let refused = ana.get(&format!("{path}?cursor={cursor}")).await.refused(400);
            assert_eq!(refused, "bad_cursor", "{path}?cursor={cursor}");
        }
        assert_eq!(whole_list(&ana, &path, path.rsplit('/').next().unwrap(), 100).await.len(), 1);
    }
    for path in
        ["/v1/me/groups?state=banned".to_owned(), group.path("/members?state=all"), group.path("/members?state=")]
    {
        assert_eq!(ana.get(&path).await.refused(422), "invalid", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_listed_as_its_caller_sees_it() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    for standing in ["superadmin", "admin", "member", "requested", "banned", "stranger"] {
        let group = Group::create(&ana, &json!({"name": standing, "open": false})).await;
        group.make(&ana, &bea, standing).await;
        let read = group.read(&bea).await;
        assert_eq!(group.standing(&bea).await, standing);
        let mut shape = SHAPE.to_vec();
        shape.extend(["state", "role"].into_iter().filter(|member| read.get(member).is_some()));
        shape.sort_unstable();
        assert_eq!(members(&read), shape);
        let listed = bea.get(&format!("/v1/groups?prefix={standing}")).await.expect(200);
        assert_eq!(*list(&listed, "groups"), [read]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn my_groups_are_those_that_i_am_in_or_have_asked_for() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let (mut mine, mut asked) = (Vec::new(), Vec::new());
    for (at, standing) in
        ["member", "requested", "superadmin", "banned", "admin", "stranger", "requested", "member"].iter().enumerate()
    {
        // Their names are in the reverse order of their ids.
        let group = Group::create(&ana, &json!({"name": format!("{}", 9 - at), "open": false})).await;
        group.make(&ana, &bea, standing).await;
        match *standing {
            "requested" => asked.push(group.read(&bea).await),
            "banned" | "stranger" => {}
            _ => mine.push(group.read(&bea).await),
        }
    }
    mine.sort_by_key(|group| text(group, "id").to_owned());
    asked.sort_by_key(|group| text(group, "id").to_owned());
    for limit in [1, 2, 3, 4, 100] {
        assert_eq!(whole_list(&bea, "/v1/me/groups", "groups", limit).await, mine);
        assert_eq!(whole_list(&bea, "/v1/me/groups?state=member", "groups", limit).await, mine);
        assert_eq!(whole_list(&bea, "/v1/me/groups?state=requested", "groups", limit).await, asked);
    }
    let cleo = app.session("cleo").await;
    assert_eq!(whole_list(&cleo, "/v1/me/groups", "groups", 1).await, Vec::<Value>::new());
    let last = Group { id: text(&mine[3], "id").to_owned(), topic: text(&mine[3], "topic").to_owned() };
    last.leave(&bea).await.expect(204);
    assert_eq!(whole_list(&bea, "/v1/me/groups", "groups", 2).await, mine[..3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    let group = Group::create(&ana, &json!({"name": "Before"})).await;
    let mut expected = group.read(&ana).await;
    for patch in [
        json!({"name": "After"}),
        json!({"description": "about"}),
        json!({"open": false}),
        json!({"max_members": 10_000}),
        json!({"description": "", "open": true, "max_members": 1, "name": "é".repeat(100)}),
        json!({"name": "Ümlaut", "description": "é".repeat(500)}),
    ] {
        expected.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        assert_eq!(group.patch(&ana, &patch).await.expect(200), expected);
        assert_eq!(group.read(&ana).await, expected);
        assert_eq!(ana.topic(&group.topic).await["name"], expected["name"]);
    }
    assert_eq!(whole_list(&ana, "/v1/groups?prefix=%C3%9CM", "groups", 1).await, [expected]);
    assert_eq!(whole_list(&ana, "/v1/groups?prefix=Before", "groups", 1).await, Vec::<Value>::new());
    assert_eq!(ana.last_seq(&group.topic).await, 0, "a patch writes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_group_is_nowhere() {
    let app = TestApp::start().await;
    let (ana, bea) = (app.session("ana").await, app.session("bea").await);
    let (group, other) = (Group::of(&ana, &[&bea]).await, Group::of(&ana, &[&bea]).await);
    group.delete(&ana).await.expect(204);
    for session in [&ana, &bea] {
        assert_eq!(session.get(&group.path("")).await.refused(404), "not_found");
        assert_eq!(session.get(&group.path("/members")).await.refused(404), "not_found");
        assert_eq!(group.join(session).await.refused(404), "not_found");
        assert_eq!(group.leave(session).await.refused(404), "not_found");
        assert_eq!(group.delete(session).await.refused(404), "not_found");
        assert_eq!(group.patch(session, &json!({"name": "x"})).await.refused(404), "not_found");
        for path in ["/v1/groups", "/v1/me/groups"] {
            assert_eq!(ids(&whole_list(session, path, "groups", 100).await), [&other.id]);
        }
    }
    assert_eq!(group.add(&ana, &bea).await.refused(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_held_to_the_rules_of_names() {
    let app = TestApp::start().await;
    let ana = app.session("ana").await;
    for prefix in ["%00", "a%00b", "a%0Ab", &"a".repeat(101)] {
        let reply = ana.get(&format!("/v1/groups?prefix={prefix}")).await;
        assert_eq!(reply.refused(422), "invalid", "{prefix}");
    }
    ana.get("/v1/groups?prefix=").await.expect(200);
}
