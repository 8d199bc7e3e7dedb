//! The training corpus: groups of sentences that mean the same, and pairs that are known not to.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use super::DataSettings;
use crate::{Error, Result};

/// Two or more sentences that mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub sentences: Vec<String>,
    /// Sentences that look like the group's but do not mean the same.
    pub negatives: Vec<String>,
    /// Position in [`Corpus::sources`].
    pub source: usize,
}

/// Two sentences that do not mean the same, neither of them in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlike {
    pub sentences: [String; 2],
    /// Position in [`Corpus::sources`].
    pub source: usize,
}

/// Everything that a run can draw from.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    pub groups: Vec<Group>,
    pub unlike: Vec<Unlike>,
    /// Where groups and pairs come from: a `.tsv` file's third column, a `.jsonl` file's `domain`, else the file's name.
    pub sources: Vec<String>,
    /// Sentences to write for their own sake, without a group.
    pub texts: Vec<String>,
    /// Groups, pairs and texts left out because a file to be kept apart has one of their sentences.
    pub excluded: usize,
}

/// A line of a `.jsonl` file.
#[derive(Deserialize)]
struct Line {
    text: String,
    synonyms: Vec<String>,
    #[serde(default)]
    negatives: Vec<String>,
    #[serde(default)]
    domain: Option<String>,
}

impl Corpus {
    /// Reads the files that the settings name. Groups with fewer than two different sentences are skipped, and so are
    /// pairs that are labelled unlike but stand in one group.
    ///
    /// # Errors
    /// A file cannot be read or has a bad line, or nothing is left to train on.
    pub fn read(settings: &DataSettings) -> Result<Self> {
        let mut apart = HashSet::new();
        for file in &settings.exclude {
            for_each_line(file, |line| {
                apart.extend(line.split('\t').map(fold).filter(|text| !text.is_empty()));
                Ok(())
            })?;
        }
        let mut corpus = Self::default();
        for file in &settings.pairs {
            corpus.read_groups(file, &apart)?;
        }
        if let Some(most) = settings.max_overlap {
            corpus.groups.retain(|group| overlap(&group.sentences[0], &group.sentences[1]) <= most);
        }
        if corpus.groups.len() < 2 {
            let received = format!("{}, and {} left out", corpus.groups.len(), corpus.excluded);
            return Err(Error::invalid("training data", "at least two groups of similar sentences", received));
        }
        if let Some(largest) = settings.largest_group {
            corpus.link(largest);
        }
        corpus.read_unlike(settings, &apart)?;
        for file in &settings.texts {
            for_each_line(file, |line| {
                let kept = !apart.contains(&fold(line));
                corpus.excluded += usize::from(!kept);
                corpus.texts.extend(kept.then(|| line.to_owned()));
                Ok(())
            })?;
        }
        Ok(corpus)
    }

    fn read_groups(&mut self, file: &Path, apart: &HashSet<String>) -> Result<()> {
        let json = match file.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => true,
            Some("tsv") => false,
            _ => return Err(Error::invalid("file of pairs", "a `.jsonl` or `.tsv` file", file.display())),
        };
        for_each_line(file, |line| {
            let (mut sentences, mut negatives, source) = if json { of_json(line)? } else { of_tsv(line)? };
            if sentences.iter().any(|text| apart.contains(&fold(text))) {
                self.excluded += 1;
                return Ok(());
            }
            let mut seen = HashSet::new();
            sentences.retain(|text| !text.trim().is_empty() && seen.insert(text.clone()));
            negatives.retain(|text| !text.trim().is_empty() && !apart.contains(&fold(text)));
            if sentences.len() >= 2 {
                let source = self.source(source.as_deref(), file);
                self.groups.push(Group { sentences, negatives, source });
            }
            Ok(())
        })
    }

    /// Reads the pairs that do not mean the same. One that has a sentence of a group becomes that group's negative.
    fn read_unlike(&mut self, settings: &DataSettings, apart: &HashSet<String>) -> Result<()> {
        let mut group_of = HashMap::new();
        for (position, group) in self.groups.iter().enumerate() {
            for sentence in &group.sentences {
                group_of.entry(fold(sentence)).or_insert(position);
            }
        }
        for file in &settings.negatives {
            for_each_line(file, |line| {
                let (sentences, _, source) = of_tsv(line)?;
                let Ok([a, b]) = <[String; 2]>::try_from(sentences) else { return Ok(()) };
                let (folded_a, folded_b) = (fold(&a), fold(&b));
                if apart.contains(&folded_a) || apart.contains(&folded_b) {
                    self.excluded += 1;
                    return Ok(());
                }
                match (group_of.get(&folded_a), group_of.get(&folded_b)) {
                    (Some(a), Some(b)) if a == b => {}
                    (Some(&group), _) => self.groups[group].negatives.push(b),
                    (None, Some(&group)) => self.groups[group].negatives.push(a),
                    (None, None) => {
                        let source = self.source(source.as_deref(), file);
                        self.unlike.push(Unlike { sentences: [a, b], source });
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The position of a source, added if it is new.
    fn source(&mut self, name: Option<&str>, file: &Path) -> usize {
        let name = name.map_or_else(|| file.file_name().unwrap_or_default().to_string_lossy(), Into::into).into_owned();
        self.sources.iter().position(|source| *source == name).unwrap_or_else(|| {
            self.sources.push(name);
            self.sources.len() - 1
        })
    }

    /// Joins groups of one source that share a sentence, as long as the joint group has at most `largest` sentences:
    /// a long chain of labels holds a wrong one.
    fn link(&mut self, largest: usize) {
        let mut parent: Vec<usize> = (0..self.groups.len()).collect();
        fn root(parent: &mut [usize], mut at: usize) -> usize {
            while parent[at] != at {
                parent[at] = parent[parent[at]];
                at = parent[at];
            }
            at
        }
        let mut first = HashMap::new();
        for (position, group) in self.groups.iter().enumerate() {
            for sentence in &group.sentences {
                let other = *first.entry((group.source, fold(sentence))).or_insert(position);
                let (a, b) = (root(&mut parent, other), root(&mut parent, position));
                parent[b] = a;
            }
        }
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.groups.len()];
        for position in 0..self.groups.len() {
            members[root(&mut parent, position)].push(position);
        }
        let mut linked = Vec::with_capacity(self.groups.len());
        for members in members.into_iter().filter(|members| !members.is_empty()) {
            let mut seen = HashSet::new();
            let joint = |part: fn(&Group) -> &Vec<String>| {
                members.iter().flat_map(|&member| part(&self.groups[member])).cloned().collect::<Vec<_>>()
            };
            let mut sentences = joint(|group| &group.sentences);
            sentences.retain(|sentence| seen.insert(fold(sentence)));
            if members.len() > 1 && (2..=largest).contains(&sentences.len()) {
                let (negatives, source) = (joint(|group| &group.negatives), self.groups[members[0]].source);
                linked.push(Group { sentences, negatives, source });
            } else {
                linked.extend(members.iter().map(|&member| self.groups[member].clone()));
            }
        }
        self.groups = linked;
    }
}

/// Intersection over union of the characters of two sentences, folded: 0 to 1, and 1 where neither has any.
pub fn overlap(a: &str, b: &str) -> f64 {
    let (a, b): (HashSet<char>, HashSet<char>) = (fold(a).chars().collect(), fold(b).chars().collect());
    match a.union(&b).count() {
        0 => 1.0,
        union => a.intersection(&b).count() as f64 / union as f64,
    }
}

/// What two spellings of one sentence share: width, case, space and punctuation folded away.
pub fn fold(text: &str) -> String {
    text.nfkc().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Sentences that mean the same, sentences that do not, and the source where the line names one.
type Parsed = std::result::Result<(Vec<String>, Vec<String>, Option<String>), String>;

fn of_json(line: &str) -> Parsed {
    let line: Line =
        serde_json::from_str(line).map_err(|e| format!("expected {{\"text\": …, \"synonyms\": […]}}: {e}"))?;
    Ok((std::iter::once(line.text).chain(line.synonyms).collect(), line.negatives, line.domain))
}

fn of_tsv(line: &str) -> Parsed {
    let mut columns = line.split('\t').map(str::to_owned);
    match (columns.next(), columns.next()) {
        (Some(a), Some(b)) => Ok((vec![a, b], Vec::new(), columns.next().filter(|source| !source.trim().is_empty()))),
        _ => Err("expected two sentences with a tab between them".to_owned()),
    }
}

/// Calls `each` with every line that is not blank; what it finds wrong is told with the line's number.
fn for_each_line(path: &Path, mut each: impl FnMut(&str) -> std::result::Result<(), String>) -> Result<()> {
    let file = std::fs::File::open(path).map_err(|e| Error::io("open the training data", path, e))?;
    for (number, line) in (1..).zip(std::io::BufReader::new(file).lines()) {
        let bad = |reason: String| Error::BadLine { path: path.to_owned(), line: number, reason };
        let line = line.map_err(|e| bad(e.to_string()))?;
        let line = line.trim_start_matches('\u{feff}');
        if !line.trim().is_empty() {
            each(line).map_err(bad)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A corpus of files given by name and content: `pairs…` are groups, `negatives…` unlike pairs, `apart…` excluded.
    fn corpus(files: &[(&str, &str)], largest_group: Option<usize>) -> Result<Corpus> {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = DataSettings { largest_group, ..DataSettings::default() };
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            match name {
                name if name.starts_with("pairs") => settings.pairs.push(path),
                name if name.starts_with("negatives") => settings.negatives.push(path),
                name if name.starts_with("texts") => settings.texts.push(path),
                _ => settings.exclude.push(path),
            }
        }
        Corpus::read(&settings)
    }

    fn sentences(corpus: &Corpus) -> Vec<Vec<&str>> {
        corpus.groups.iter().map(|group| group.sentences.iter().map(String::as_str).collect()).collect()
    }

    #[test]
    fn groups_come_from_both_formats_and_skip_what_is_kept_apart() {
        let json = "{\"text\":\"甲\",\"synonyms\":[\"乙\",\"丙\"],\"domain\":\"字\"}\n\n";
        let tsv = "怎么退款\t如何退款\tshop\n怎么登录\t如何登录\n同\t同\n";
        let files = [("pairs.jsonl", json), ("pairs.tsv", tsv), ("apart.tsv", "怎么登录？\t别的\t1\n")];
        let corpus = corpus(&files, None).unwrap();
        assert_eq!(sentences(&corpus), [vec!["甲", "乙", "丙"], vec!["怎么退款", "如何退款"]]);
        assert_eq!((corpus.excluded, &corpus.sources[..]), (1, &["字".to_owned(), "shop".to_owned()][..]));
    }

    #[test]
    fn a_negative_goes_to_the_group_of_its_sentence() {
        let pairs = "怎么退款\t如何退款\n怎么开通\t如何开通\n";
        let negatives = "如何退款？\t怎么付款\n怎么关闭\t怎么开通\n一\t二\n怎么开通\t如何开通\n";
        let corpus = corpus(&[("pairs.tsv", pairs), ("negatives.tsv", negatives)], None).unwrap();
        assert_eq!(corpus.groups[0].negatives, ["怎么付款"]);
        assert_eq!(corpus.groups[1].negatives, ["怎么关闭"], "a pair of one group is no negative");
        assert_eq!(corpus.unlike.len(), 1);
    }

    #[test]
    fn groups_that_share_a_sentence_become_one_unless_it_is_too_large() {
        let pairs = "一\t二\n二\t三\n四\t五\n六\t七\n七\t八\n八\t九\n";
        let corpus = corpus(&[("pairs.tsv", pairs)], Some(3)).unwrap();
        assert_eq!(
            sentences(&corpus),
            [vec!["一", "二", "三"], vec!["四", "五"], vec!["六", "七"], vec!["七", "八"], vec!["八", "九"]]
        );
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = corpus(&[("pairs.tsv", "怎么退款\t如何退款\n只有一句\n")], None).unwrap_err().to_string();
        assert!(error.contains("pairs.tsv:2: expected two sentences"), "{error}");
    }

    #[test]
    fn overlap_is_of_folded_characters() {
        assert_eq!(overlap("怎么退款？", "怎么退款"), 1.0);
        assert_eq!(overlap("怎么退款", "如何退款"), 1.0 / 3.0);
        assert_eq!(overlap("退钱", "登录"), 0.0);
        assert_eq!(overlap("？", ""), 1.0);
    }
}
