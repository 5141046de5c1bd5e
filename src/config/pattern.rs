//! Names with wildcards: `*` matches any number of characters, `?` matches one. Other characters
//! match themselves, and case matters, as in AWS's names.

use std::fmt;

/// A list of names and patterns. It matches a name if any of them matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Creates a list that matches every name.
    pub(crate) fn all() -> Patterns {
        Patterns(vec!["*".to_owned()])
    }

    /// Creates a list of these patterns.
    pub(crate) fn new(patterns: Vec<String>) -> Patterns {
        Patterns(patterns)
    }

    /// Returns the names and patterns themselves.
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    /// Returns whether any pattern matches the name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }

    /// Returns whether every name matches.
    pub(crate) fn is_all(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "*")
    }

    /// Returns the names, if none is a pattern: then they need not be searched for.
    pub fn exact(&self) -> Option<&[String]> {
        self.0.iter().all(|pattern| !has_wildcard(pattern)).then_some(self.0.as_slice())
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// Returns whether a name is a pattern.
pub(crate) fn has_wildcard(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Checks whether a pattern matches a whole name. It is linear in practice: only the last `*` is
/// tried again.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Position of the last star, and the position in the name at which its continuation was tried
    // last.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            Some(_) | None => match star {
                Some((at, tried)) => {
                    p = at + 1;
                    n = tried + 1;
                    star = Some((at, tried + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let table = [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-1", true),
            ("web-*", "web-", true),
            ("*", "", true),
            ("*-blue", "web-blue-blue", true),
            ("*-blue", "web-blue-green", false),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("Web", "web", false),
            ("", "x", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_list_is_exact_only_without_wildcards() {
        let exact = Patterns::new(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(exact.exact().map(<[String]>::len), Some(2));
        assert!(exact.matches("b") && !exact.matches("c"));
        assert_eq!(Patterns::all().exact(), None);
    }
}
