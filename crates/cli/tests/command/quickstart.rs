use crate::support::Desk;

#[test]
fn quickstart_shows_the_places_and_runs_again() {
    let desk = Desk::new();
    for _ in 0..2 {
        let text = desk.run("quickstart").exits(0).text();
        for word in [
            "34006 places",
            "GeoNames",
            "Reykjavík",
            "not found",
            "Zürich",
            "acked 1",
            "still here",
            "Verified",
        ] {
            assert!(text.contains(word), "no {word:?} in:\n{text}");
        }
    }
    desk.run("verify quickstart-db").exits(0);
    desk.run("get quickstart-db quickstart/witness").exits(0).prints("still here\n");
    desk.run("count quickstart-db --prefix US/").exits(0).prints("0\n");
    desk.run("quickstart --dir elsewhere").exits(0);
    let all = |db: &str| desk.run(&format!("scan {db}")).exits(0).text();
    assert!(all("elsewhere") == all("quickstart-db"));
}

#[test]
fn quickstart_replaces_nothing_that_it_did_not_make() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("mine")).unwrap();
    desk.file("mine/thesis.tex", "years of work");
    desk.run("quickstart --dir mine").exits(2).says(&["mine"]);
    assert_eq!(desk.read("mine/thesis.tex"), b"years of work");
    desk.run("put db k v").exits(0);
    desk.run("quickstart --dir db").exits(2);
    desk.run("get db k").exits(0).prints("v\n");
}
