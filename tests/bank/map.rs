//! `simbert bank map`.

use serde_json::json;

use crate::command::{failure, json, model, run, stdout};

#[test]
fn a_map_is_printed_and_drawn_and_lists_two_answers_to_one_question() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    model(folder);
    let lines = "id,text,answer,faq_id,kind\n1,怎么还款,这样,repay,<loan>\n2,怎么还款,那样,repay,<loan>\n\
        3,怎么还款,又那样,other,card\n4,信用卡额度怎么提高,打电话,limit,card\n";
    stdout(folder, &["index", "-", "--format", "csv", "--bank", "faq"], lines);
    std::fs::remove_dir_all(folder.join("model")).unwrap(); // a map needs none

    let svg = folder.join("map.svg");
    let drawn =
        ["bank", "map", "faq", "--near-duplicates", "0.999999", "--label", "kind", "--svg", svg.to_str().unwrap()];
    let map = json(folder, &drawn);
    assert_eq!(map["points"].as_array().unwrap().len(), 4);
    assert_eq!((&map["points"][0]["label"], &map["points"][3]["faq_id"]), (&json!("<loan>"), &json!("limit")));
    let pairs = map["near_duplicates"].as_array().unwrap();
    assert_eq!(pairs.len(), 3, "{pairs:?}");
    assert!(pairs.iter().all(|pair| pair["one_faq"] == (pair["second"] == "2")), "{pairs:?}");
    let svg = std::fs::read_to_string(&svg).unwrap();
    assert_eq!((svg.matches("<circle").count(), svg.matches("<line").count()), (4, 3));
    assert!(svg.contains("怎么还款") && !svg.contains("<loan>"));

    let printed = stdout(folder, &drawn, "");
    assert!(printed.starts_with("points       4 of 4 questions\n"), "{printed}");
    assert!(printed.contains("1 pairs of one FAQ, 2 of different FAQs\n"), "{printed}");
    assert!(printed.contains("  1  怎么还款\n") && printed.contains("  3  怎么还款\n"), "{printed}");

    assert!(failure(folder, &["bank", "map", "faq", "--points", "0"], "").contains("points: expected 1 to 10000"));
    assert!(failure(folder, &["bank", "map", "none"], "").contains("bank `none` was not found"));
    assert_eq!(run(folder, &["bank", "map"], "").status.code(), Some(2));
}
