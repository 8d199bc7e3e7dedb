//! Lists of words that sort sentences: which are questions, and which differ by particles alone.
//!
//! What a question word or a particle is, a file says; the code knows no language. It knows that scripts whose letters
//! have case put spaces between words: such a word is matched as a whole, any other wherever it stands.

use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use crate::generate::folded;
use crate::{Error, Result};

/// What ends a question in the scripts that have a mark for it; NFKC has made `?` of the full-width form.
pub(in crate::eval) const QUESTION_MARKS: &[char] = &['?', '؟', '՞', '፧', '⸮'];

/// Words, one a line of a file: `#` begins a comment line, `^` before a word ties it to the beginning of a sentence,
/// `$` after it to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordList(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    characters: Vec<char>,
    begins: bool,
    ends: bool,
}

impl WordList {
    /// Reads a list from a file.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no single word.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the list of words", path, e))?;
        Self::parse(path, &text)
    }

    /// The list that `text` holds; `path` is for messages.
    ///
    /// # Errors
    /// A line is no single word.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self> {
        let lines = (1..).zip(text.trim_start_matches('\u{feff}').lines().map(str::trim));
        let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(number, line)| {
            let (begins, word) = line.strip_prefix('^').map_or((false, line), |word| (true, word));
            let (ends, word) = word.strip_suffix('$').map_or((false, word), |word| (true, word));
            match &words(word)[..] {
                [word] => Ok(Entry { characters: word.clone(), begins, ends }),
                _ => Err(Error::BadLine {
                    path: path.as_ref().to_owned(),
                    line: number,
                    reason: format!("expected one word of letters or digits, received `{line}`"),
                }),
            }
        });
        Ok(Self(entries.collect::<Result<_>>()?))
    }

    /// Whether one of the words stands in `text`.
    fn is_in(&self, text: &str) -> bool {
        let words = words(text);
        (0..words.len()).any(|word| (0..words[word].len()).any(|at| self.longest(&words, word, at).is_some()))
    }

    /// What is left of `text` without the words, folded.
    fn cut_from(&self, text: &str) -> String {
        let (words, mut rest) = (words(text), String::new());
        for word in 0..words.len() {
            let mut at = 0;
            while at < words[word].len() {
                match self.longest(&words, word, at) {
                    Some(length) => at += length,
                    None => {
                        rest.push(words[word][at]);
                        at += 1;
                    }
                }
            }
        }
        rest
    }

    /// Length of the longest word of the list that stands at character `at` of `words[word]`.
    fn longest(&self, words: &[Vec<char>], word: usize, at: usize) -> Option<usize> {
        let rest = &words[word][at..];
        let stands = |entry: &&Entry| {
            let (first, last) = (at == 0, entry.characters.len() == rest.len());
            rest.starts_with(&entry.characters)
                && (!is_spaced(entry.characters[0]) || (first && last))
                && (!entry.begins || (first && word == 0))
                && (!entry.ends || (last && word + 1 == words.len()))
        };
        self.0.iter().filter(stands).map(|entry| entry.characters.len()).max()
    }
}

/// The runs of letters and digits of a text, lower-cased and of ordinary width. A run ends also where letters of a
/// script with spaces meet those of another, so that `wifi吗` has two.
fn words(text: &str) -> Vec<Vec<char>> {
    let mut words: Vec<Vec<char>> = Vec::new();
    let mut last = None;
    for character in text.nfkc().flat_map(char::to_lowercase) {
        let kind = character.is_alphanumeric().then(|| is_spaced(character));
        if kind.is_some() {
            match words.last_mut() {
                Some(word) if kind == last => word.push(character),
                _ => words.push(vec![character]),
            }
        }
        last = kind;
    }
    words
}

/// Whether words of this character stand between spaces; what comes here is lower-cased.
fn is_spaced(character: char) -> bool {
    character.is_lowercase() || character.is_numeric()
}

/// What sorts sentences by their wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceRules {
    /// Words that make no difference worth having.
    pub particles: WordList,
    /// Words that make a sentence a question.
    pub question_words: WordList,
}

impl SentenceRules {
    /// Whether a sentence is a question: it has a question mark or a question word.
    pub fn is_question(&self, text: &str) -> bool {
        text.nfkc().any(|character| QUESTION_MARKS.contains(&character)) || self.question_words.is_in(text)
    }

    /// Whether two sentences differ by width, case, spaces, punctuation and particles alone.
    pub fn is_copy(&self, a: &str, b: &str) -> bool {
        let cut = self.particles.cut_from(a);
        folded(a) == folded(b) || (!cut.is_empty() && cut == self.particles.cut_from(b))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn rules() -> SentenceRules {
        let list = |text| WordList::parse("list.txt", text).unwrap();
        SentenceRules {
            particles: list("# 语气\n了\n吗\n呢\n请问\nplease\nthe\n"),
            question_words: list("\u{feff}怎么\n么$\nhow\n^is\r\n\n 哪 \n"),
        }
    }

    #[test]
    fn a_question_has_a_mark_or_a_word() {
        let rules = rules();
        for question in
            ["退款？", "退款?", "怎么退款", "能退么", "能退么。", "HOW do I pay", "Is it on", "在哪", "هل هذا؟"]
        {
            assert!(rules.is_question(question), "{question}");
        }
        for statement in ["退款", "么么哒", "it is on", "I know show business", "", "他走了。"] {
            assert!(!rules.is_question(statement), "{statement}");
        }
    }

    #[test]
    fn a_copy_differs_by_punctuation_or_particles_alone() {
        let rules = rules();
        for (a, b) in [
            ("怎么退款", "请问怎么退款呢？"),
            ("退款了吗", "退款"),
            ("How to pay", "please, how to pay the?"),
            ("开通WiFi", "开通 ｗｉｆｉ 了"),
            ("吗", "吗？"),
        ] {
            assert!(rules.is_copy(a, b) && rules.is_copy(b, a), "{a} | {b}");
        }
        for (a, b) in
            [("怎么退款", "如何退款"), ("能退款", "不能退款"), ("pay them", "pay m"), ("了吗", "呢"), ("", "了")]
        {
            assert!(!rules.is_copy(a, b) && !rules.is_copy(b, a), "{a} | {b}");
        }
    }

    #[test]
    fn a_line_that_is_no_word_is_named() {
        for bad in ["how much", "?", "^$", "^"] {
            let error = WordList::parse("list.txt", &format!("# c\nhow\n{bad}\n")).unwrap_err().to_string();
            assert_eq!(error, format!("list.txt:3: expected one word of letters or digits, received `{bad}`"));
        }
        let error = WordList::read("no/such/list.txt").unwrap_err().to_string();
        assert!(error.starts_with("no/such/list.txt: cannot read the list of words"), "{error}");
    }

    #[test]
    fn the_bundled_lists_are_of_words() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/generation");
        let [particles, question_words] =
            ["particles.txt", "question-words.txt"].map(|name| WordList::read(folder.join(name)).unwrap());
        let rules = SentenceRules { particles, question_words };
        assert!(rules.is_question("今天能到吗") && !rules.is_question("今天能到"));
        assert!(rules.is_copy("怎么退款", "怎么退款呢") && !rules.is_copy("怎么退款", "怎么还款"));
    }
}
