use crate::support::Desk;

#[test]
fn changes_are_printed_in_the_order_in_which_they_were_made() {
    let desk = Desk::new();
    desk.run("put db b 1").exits(0);
    desk.run("put db a x\\ty").exits(0);
    desk.run("merge db b 2 --operator append").exits(0);
    desk.run("delete db a nothing").exits(0);
    desk.run("delete-range db a c").exits(0);
    desk.run("keyspaces db --create other").exits(0);
    desk.run("put db elsewhere 1 --keyspace other").exits(0);
    let all = concat!(
        "{\"key\":\"b\",\"kind\":\"put\",\"seqno\":1,\"value\":\"1\"}\n",
        "{\"key\":\"a\",\"kind\":\"put\",\"seqno\":2,\"value\":\"x\\\\ty\"}\n",
        "{\"key\":\"b\",\"kind\":\"merge\",\"operand\":\"2\",\"seqno\":3}\n",
        "{\"key\":\"a\",\"kind\":\"delete\",\"seqno\":4}\n",
        "{\"key\":\"nothing\",\"kind\":\"delete\",\"seqno\":5}\n",
        "{\"from\":\"a\",\"kind\":\"delete_range\",\"seqno\":6,\"to\":\"c\"}\n",
    );
    desk.run("changes db --since 0")
        .exits(0)
        .prints(all)
        .says(&["6 changes; go on with --since 8"]);
    let line = |n: usize| all.split_inclusive('\n').nth(n).unwrap();
    desk.run("changes db --since 5").exits(0).prints([line(4), line(5)].concat());
    desk.run("changes db --since 2 --limit 2")
        .exits(0)
        .prints([line(1), line(2)].concat())
        .says(&["go on with --since 4"]);
    desk.run("changes db --since 8").exits(0).prints("");
    desk.run("changes db --since 1 --limit 1 --hex --keyspace other")
        .exits(0)
        .prints("{\"key\":\"656c73657768657265\",\"kind\":\"put\",\"seqno\":7,\"value\":\"31\"}\n");
    desk.run("changes db --since 1 --keyspace nowhere").exits(1);
    desk.run("changes nowhere --since 1").exits(1);
    desk.run("changes db").exits(2);
    desk.run("changes db --since x").exits(2);
    desk.run("changes db --since 1 --holders").exits(2);
}

#[test]
fn a_gap_exits_1_and_held_history_has_none() {
    let desk = Desk::new();
    desk.run("put db a 1").exits(0);
    desk.run("flush db").exits(0);
    desk.run("changes db --since 1").exits(1).prints("").says(&["only those from 2 on"]);
    desk.run("changes db --hold feed").exits(0).prints("feed\t2\n");
    for value in ["2", "3"] {
        desk.run(&format!("put db a {value}")).exits(0);
        desk.run("compact db").exits(0);
    }
    let seqnos = |since: u32| {
        let printed = desk.run(&format!("changes db --since {since}")).exits(0).text();
        printed.lines().filter(|line| line.contains("\"kind\":\"put\"")).count()
    };
    assert_eq!((seqnos(2), seqnos(3)), (2, 1));
    desk.run("changes db --hold feed --json")
        .exits(0)
        .prints("{\"holder\":\"feed\",\"since\":2}\n");
    desk.run("changes db --hold feed --since 3").exits(0).prints("feed\t3\n");
    desk.run("changes db --hold feed --since 2").exits(0).prints("feed\t3\n");
    desk.run("changes db --hold other --since 2").exits(1);
    desk.run("changes db --hold feed --since 999").exits(2);
    desk.run("changes db --holders").exits(0).prints("feed\t3\n");
    desk.run("compact db").exits(0);
    assert_eq!(seqnos(3), 1);
    desk.run("changes db --release feed").exits(0).prints("");
    desk.run("changes db --release feed").exits(1).says(&["no history is held for \"feed\""]);
    desk.run("changes db --holders").exits(0).prints("");
    desk.run("put db a 4").exits(0);
    desk.run("compact db").exits(0);
    desk.run("changes db --since 3").exits(1);
}
