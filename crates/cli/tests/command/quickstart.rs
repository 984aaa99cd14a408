use crate::support::Desk;

#[test]
fn quickstart_shows_the_places_and_runs_again() {
    let desk = Desk::new();
    for _ in 0..2 {
        let text = desk.run("quickstart").exits(0).text();
        for word in ["34006 places", "GeoNames", "Reykjavík", "not found", "Zürich", "Verified"] {
            assert!(text.contains(word), "no {word:?} in:\n{text}");
        }
    }
    desk.run("table verify quickstart-db/places.sst").exits(0);
    desk.run("quickstart --dir elsewhere").exits(0);
    assert_eq!(desk.read("elsewhere/places.sst"), desk.read("quickstart-db/places.sst"));
}

#[test]
fn quickstart_replaces_nothing_that_it_did_not_make() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("mine")).unwrap();
    desk.file("mine/thesis.tex", "years of work");
    desk.run("quickstart --dir mine").exits(2).says(&["mine"]);
    assert_eq!(desk.read("mine/thesis.tex"), b"years of work");
}
