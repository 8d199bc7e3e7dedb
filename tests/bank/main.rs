//! What a bank promises, checked from outside with an encoder that needs no model.

mod calibration;
mod command;
mod crash;
mod damage;
mod disk;
mod encoder;
mod failed;
mod kinds;
mod map;
mod promises;
mod reencode;
mod retrieval;
mod segments;
mod small_disk;
mod snapshot;
mod speed;
mod upgrade;

use std::path::Path;
use std::sync::Arc;

use encoder::LetterPairs;
use simbert::engine::{Bank, BankName, BankSettings, Engine, Question, QuestionId};

fn engine(data: &Path) -> Engine {
    Engine::with_encoder(data, Arc::new(LetterPairs::new("letters"))).unwrap()
}

fn name() -> BankName {
    BankName::new("faq").unwrap()
}

fn created(engine: &Engine) -> Bank {
    engine.create_bank(&name(), BankSettings { description: "test".to_owned(), ..BankSettings::default() }).unwrap()
}

fn id(id: impl ToString) -> QuestionId {
    QuestionId::new(id.to_string()).unwrap()
}

fn question(of: impl ToString, text: &str) -> Question {
    Question { id: id(of), text: text.to_owned(), faq_id: None, answer: None, metadata: Default::default() }
}

/// Ten thousand different questions, more or less alike.
fn wording(n: u64) -> String {
    let pick = |words: &[&'static str], at: u64| words[(at % words.len() as u64) as usize];
    let ask = pick(&["怎么", "如何", "在哪里", "什么时候", "为什么不能"], n);
    let act = pick(&["办理", "取消", "查询", "修改", "申请", "退订", "找回", "开通"], n / 5);
    let what = pick(&["银行卡", "手机套餐", "护照", "社保", "密码", "会员", "车票", "发票", "公积金", "驾照"], n / 40);
    format!("{ask}{act}{what}，编号{}", n / 400)
}
