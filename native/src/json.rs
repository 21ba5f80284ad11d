//! Plain JSON, read once: no escape, no fraction, no member twice, nothing deep. Whatever else there is makes the
//! answer None, and Python, which alone refuses and explains, reads the text itself.

/// Objects and arrays inside one another; deeper ones are for Python.
const MAX_DEPTH: usize = 8;
/// Members of one object, so that looking for one that came twice stays cheap.
pub const MAX_MEMBERS: usize = 128;

/// A value; its strings still lie in the text.
#[derive(Debug, PartialEq)]
pub enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Bool(bool),
    Null,
    List(Vec<Value<'a>>),
    Object(Vec<(&'a str, Value<'a>)>),
}

impl<'a> Value<'a> {
    pub fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text, or the text that is alone in a list.
    pub fn sole_text(&self) -> Option<&'a str> {
        match self {
            Self::List(items) => match &items[..] {
                [sole] => sole.text(),
                _ => None,
            },
            _ => self.text(),
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }
}

/// The text of a payload whose every string ends at the next quote, if it is one.
pub fn plain(payload: &[u8]) -> Option<&str> {
    // Without a branch, so that the compiler makes vector instructions of it.
    let odd = |octet: u8| u8::from(octet < 0x20) | u8::from(octet == b'\\');
    if payload.iter().fold(0, |found, &octet| found | odd(octet)) != 0 {
        return None;
    }
    std::str::from_utf8(payload).ok()
}

/// Reads the text of `plain`, and only that.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Hands each member of the object that the whole text is to `take`, which may end it.
    pub fn members(
        &mut self,
        mut take: impl FnMut(&'a str, Value<'a>) -> Option<()>,
    ) -> Option<()> {
        self.skip_space();
        self.object(1, &mut take)?;
        self.skip_space();
        (self.at == self.text.len()).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Option<Value<'a>> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            value
        })
    }

    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let len = until_quote(self.text.as_bytes().get(self.at..)?)?;
        let string = self.text.get(self.at..self.at + len)?;
        self.at += len + 1;
        Some(string)
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        Some(match self.peek()? {
            b'"' => Value::Text(self.string()?),
            b'[' => Value::List(self.list(deeper(depth)?)?),
            b'{' => Value::Object(self.nested(deeper(depth)?)?),
            b'-' | b'0'..=b'9' => Value::Integer(self.integer()?),
            b't' => self.word("true", Value::Bool(true))?,
            b'f' => self.word("false", Value::Bool(false))?,
            b'n' => self.word("null", Value::Null)?,
            _ => return None,
        })
    }

    /// An integer of at most 18 digits. What follows it must be what follows a value, or no one takes it.
    fn integer(&mut self) -> Option<i64> {
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let start = self.at;
        let mut value: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - start == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let digits = &self.text.as_bytes()[start..self.at];
        match digits {
            [] => None,
            [b'0'] if negative => None, // Minus zero.
            [b'0', _, ..] => None,
            _ => Some(if negative { -value } else { value }),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value<'a>>> {
        self.take(b'[')?;
        self.skip_space();
        let mut items = Vec::new();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(items);
        }
        loop {
            self.skip_space();
            items.push(self.value(depth)?);
            self.skip_space();
            match self.next()? {
                b',' => {}
                b']' => return Some(items),
                _ => return None,
            }
        }
    }

    fn nested(&mut self, depth: usize) -> Option<Vec<(&'a str, Value<'a>)>> {
        let mut members: Vec<(&str, Value)> = Vec::new();
        self.object(depth, &mut |name, value| {
            let twice = members.iter().any(|(other, _)| *other == name);
            let good = !twice && members.len() < MAX_MEMBERS;
            good.then(|| members.push((name, value)))
        })?;
        Some(members)
    }

    fn object(
        &mut self,
        depth: usize,
        take: &mut impl FnMut(&'a str, Value<'a>) -> Option<()>,
    ) -> Option<()> {
        self.take(b'{')?;
        self.skip_space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.take(b':')?;
            self.skip_space();
            let value = self.value(depth)?;
            take(name, value)?;
            self.skip_space();
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }
}

/// How far it is to the next quote, eight octets at a time.
fn until_quote(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let mut at = 0;
    while let Some(eight) = text.get(at..at + 8) {
        let differing = u64::from_le_bytes(eight.try_into().ok()?) ^ (ONES * b'"' as u64);
        // The lowest octet that is zero is found for certain; higher bits may be set by a borrow.
        let zeros = differing.wrapping_sub(ONES) & !differing & (ONES << 7);
        if zeros != 0 {
            return Some(at + zeros.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?.iter().position(|&octet| octet == b'"')?;
    Some(at + rest)
}

fn deeper(depth: usize) -> Option<usize> {
    (depth < MAX_DEPTH).then_some(depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Option<Vec<(&str, Value<'_>)>> {
        let mut members = Vec::new();
        Reader::of(plain(text)?).members(|name, value| {
            members.push((name, value));
            Some(())
        })?;
        Some(members)
    }

    #[test]
    fn plain_objects_are_read() {
        let found =
            read(br#" { "a" : "b" , "c":[ 1,"d",true,null ],"e":{"f":-7,"":{}},"g":false } "#);
        let list = vec![
            Value::Integer(1),
            Value::Text("d"),
            Value::Bool(true),
            Value::Null,
        ];
        let object = vec![("f", Value::Integer(-7)), ("", Value::Object(vec![]))];
        let expected = vec![
            ("a", Value::Text("b")),
            ("c", Value::List(list)),
            ("e", Value::Object(object)),
            ("g", Value::Bool(false)),
        ];
        assert_eq!(found, Some(expected));
        assert_eq!(read(b"{}"), Some(vec![]));
    }

    #[test]
    fn whatever_is_not_plain_is_for_python() {
        let mut odd: Vec<Vec<u8>> = [
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-0}"#,
            r#"{"a":01}"#,
            r#"{"a":-}"#,
            r#"{"a":+1}"#,
            r#"{"a":1234567890123456789}"#,
            r#"{"a":"\u0062"}"#,
            r#"{"a":"\""}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":[{"b":1,"c":2,"b":1}]}"#,
            r#"{"a":1,}"#,
            r#"{,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a" 1}"#,
            r#"{"a":}"#,
            r#"{"a":1}}"#,
            r#"{"a":1} x"#,
            r#"{"a":1"#,
            r#"{"a":"b}"#,
            "[]",
            "",
            "1",
            "\"a\"",
            "null",
            r#"{"a":tru}"#,
            r#"{"a":True}"#,
            r#"{"a":nullx}"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            "{\"a\":\t1}",
            "{\"a\":1}\n",
            "\u{feff}{}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":\"\u{1f}\"}",
            "{\"a\":1}\0",
            r#"{"a":1 "b":2}"#,
            r#"{"a":[1 2]}"#,
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect(); // one line each would fill the page
        odd.push(b"{\"a\":\"\xff\"}".to_vec());
        odd.push(b"{\"a\":\"\xed\xa0\x80\"}".to_vec());
        odd.push(b"{\"a\":\"\xc0\xaf\"}".to_vec());
        odd.push(format!("{{\"a\":{}1{}}}", "[".repeat(8), "]".repeat(8)).into_bytes());
        odd.push(format!("{{\"a\":{}1{}}}", "{\"b\":".repeat(8), "}".repeat(8)).into_bytes());
        odd.push(format!("{{\"a\":{}", "[".repeat(100_000)).into_bytes());
        let members: Vec<String> = (0..=MAX_MEMBERS).map(|n| format!("\"{n}\":1")).collect();
        odd.push(format!("{{\"a\":{{{}}}}}", members.join(",")).into_bytes());
        for text in odd {
            assert_eq!(read(&text), None, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn the_next_quote_is_found_wherever_it_is() {
        for len in 0..40 {
            for filler in [b'a', b'!', b'#', 0xa2, 0x21, 0xff] {
                let mut text = vec![filler; len];
                assert_eq!(until_quote(&text), None);
                text.push(b'"');
                text.extend([filler, b'"', filler]);
                assert_eq!(until_quote(&text), Some(len));
            }
        }
    }
}
