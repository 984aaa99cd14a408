use crate::support::Desk;

#[test]
fn operands_are_applied_when_the_key_is_read() {
    let desk = Desk::new();
    desk.run("merge db visits 40 --operator add-u64").exits(0).prints("");
    desk.run("merge db visits 1 --operator add-u64").exits(0);
    desk.run("merge db visits 1").exits(0);
    desk.run("get db visits").exits(0).prints("42\n");
    desk.run("put db visits 7").exits(0);
    desk.run("merge db visits 1").exits(0);
    desk.run("compact db").exits(0);
    desk.run("merge db new 5").exits(0);
    desk.run("scan db").exits(0).prints("new\t5\nvisits\t8\n");
    desk.run("scan db --reverse").exits(0).prints("visits\t8\nnew\t5\n");
    desk.run("count db").exits(0).prints("2\n");
    desk.run("delete db visits").exits(0);
    desk.run("merge db visits 1").exits(0);
    desk.run("get db visits --json").exits(0);
    desk.run("get db visits").exits(0).prints("1\n");
    desk.run("verify db").exits(0);
}

#[test]
fn a_keyspace_keeps_its_operator_and_operands_must_make_sense() {
    let desk = Desk::new();
    desk.run("merge db k 1").exits(1);
    desk.run("merge db k one --operator add-u64").exits(3).says(&["\"one\" is no number"]);
    assert!(!desk.exists("db"), "nothing was made for it");
    desk.run("put db k 1").exits(0);
    desk.run("merge db k 1").exits(2).says(&["--operator"]);
    desk.run("merge db k 1 --operator sum").exits(2);
    desk.run("merge db k x --operator append").exits(0);
    desk.run("merge db k 1 --operator add-u64")
        .exits(5)
        .says(&["has merge operator \"append\", not \"add-u64\""]);
    desk.run("get db k").exits(0).prints("1x\n");

    desk.run("keyspaces db --create docs --operator json-patch")
        .exits(0)
        .prints("default\tbytewise\tappend\ndocs\tbytewise\tjson-patch\n");
    desk.run("merge db u {\"a\":1,\"b\":{\"c\":2}} --keyspace docs").exits(0);
    desk.run("merge db u {\"b\":{\"c\":null},\"a\":3.50} --keyspace docs").exits(0);
    desk.run("merge db u {\"a\" --keyspace docs").exits(3).says(&["the patch is not JSON"]);
    desk.run("get db u --keyspace docs").exits(0).prints("{\"a\":3.50,\"b\":{}}\n");

    desk.run("merge db k2 9 --operator add-u64 --keyspace nowhere").exits(1);
    desk.run("compact db").exits(0);
    let stats = desk.run("stats db --json").exits(0).json();
    assert_eq!(stats["keyspaces"][0]["merge_operator"], "append");
    assert_eq!(stats["keyspaces"][1]["merge_operator"], "json-patch");
    assert!(stats["keyspaces"][1]["operands"]["folds"].is_u64());
    assert!(desk.run("stats db").exits(0).text().contains("docs (bytewise, merged by json-patch)"));
}

#[test]
fn a_value_that_its_operands_do_not_fit_is_bad_data() {
    let desk = Desk::new();
    desk.run("put db n seven").exits(0);
    desk.run("merge db n 1 --operator add-u64").exits(0);
    desk.run("get db n").exits(3).prints("").says(&["\"seven\" is no number"]);
    desk.run("scan db").exits(3);
    desk.run("compact db").exits(0);
    desk.run("get db n").exits(3);
    desk.run("put db n 7").exits(0);
    desk.run("get db n").exits(0).prints("7\n");
}
