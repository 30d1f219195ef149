//! Batches made from the rules: most of them pass, written in as many ways as JSON has.

use crate::dice::Dice;

const SPACES: &[&str] = &["", "", "", "", "", "", " ", "\n", "\r\n  ", "\t", "         ", " \n \n"];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "0.1",
    "-0.0e0",
    "1e0",
    "1E+1",
    "12.5e-3",
    "1e308",
    "-1E308",
    "9e307",
    "1e-400",
    "0e999999999",
    "123456789012345678901234567890",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "1e309",
    "5e-324",
    "2.2250738585072011e-308",
    "0.1e309",
    "1e-99999999999999999999",
];
const PIECES: &[&str] = &[
    "a",
    "b",
    "Dept",
    "users",
    "curDeptId",
    "研发",
    "é",
    "😀",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "\\b",
    "\\u0000",
    "\\u0061",
    "\\u00E9",
    "\\u7814",
    "\\ud83d\\ude00",
    "\\uDBFF\\uDFFF",
    "\u{7f}",
    "\u{2028}",
    "\u{feff}",
    "\u{10ffff}",
    "/",
    "~",
    "{",
    "]",
    ",",
    ":",
    "'",
    " ",
];

/// A whole body of about `size` bytes or less.
pub(crate) fn batch(dice: &mut Dice, size: usize) -> Vec<u8> {
    let mut writer = Writer { dice, text: String::new(), size };
    writer.space();
    writer.root();
    writer.space();
    writer.text.into_bytes()
}

struct Writer<'d> {
    dice: &'d mut Dice,
    text: String,
    size: usize,
}

impl Writer<'_> {
    fn root(&mut self) {
        self.object(&["curDeptId", "users"], 2, |writer, name| match name {
            "curDeptId" => writer.integer(1),
            _ => writer.users(),
        });
    }

    fn users(&mut self) {
        let count = 1 + self.dice.below(4);
        self.array(count, |writer| {
            let is_allocated = writer.dice.below(2) == 0;
            let fields = ["personalCapacity", "isAllocateCapacity", "targetDeptName"];
            let count = 2 + writer.dice.below(2);
            writer.object(&fields[..count], 4, |writer, name| match name {
                "personalCapacity" if is_allocated => writer.integer(1),
                "personalCapacity" => writer.text.push('0'),
                "isAllocateCapacity" => writer.text.push_str(&is_allocated.to_string()),
                _ if writer.dice.below(4) == 0 => writer.text.push_str("null"),
                _ => writer.string(),
            });
        });
    }

    /// An object with these members and perhaps others, in any order.
    fn object(&mut self, names: &[&str], depth: usize, value: impl Fn(&mut Self, &str)) {
        let mut names: Vec<_> = names.iter().copied().map(Some).collect();
        if self.text.len() < self.size {
            (0..self.dice.below(3)).for_each(|_| names.push(None));
        }
        self.text.push('{');
        let mut is_first = true;
        self.space();
        while !names.is_empty() {
            if !is_first {
                self.text.push(',');
                self.space();
            }
            is_first = false;
            let index = self.dice.below(names.len());
            match names.swap_remove(index) {
                Some(name) => {
                    self.name(name);
                    self.colon();
                    value(self, name);
                }
                None => {
                    self.string();
                    self.colon();
                    self.any(depth);
                }
            }
            self.space();
        }
        self.text.push('}');
    }

    fn array(&mut self, count: usize, mut element: impl FnMut(&mut Self)) {
        self.text.push('[');
        self.space();
        for index in 0..count {
            if index != 0 {
                self.text.push(',');
                self.space();
            }
            element(self);
            self.space();
        }
        self.text.push(']');
    }

    /// A value no rule names; `depth` is its own if it is a container.
    fn any(&mut self, depth: usize) {
        let kinds = if depth <= 16 && self.text.len() < self.size { 7 } else { 4 };
        match self.dice.below(kinds) {
            0 => self.string(),
            1 => self.text.push_str(NUMBERS[self.dice.below(NUMBERS.len())]),
            2 => self.text.push_str(["true", "false", "null"][self.dice.below(3)]),
            3 => self.text.push_str(["{}", "[]", "[ ]", "\"\""][self.dice.below(4)]),
            4 => self.object(&[], depth + 1, |_, _| {}),
            _ => {
                let count = self.dice.below(4);
                self.array(count, |writer| writer.any(depth + 1));
            }
        }
    }

    fn integer(&mut self, least: u64) {
        let number = match self.dice.below(8) {
            0 => i64::MAX.unsigned_abs(),
            1 => 1 << self.dice.below(63),
            2 => (1 << 53) + 1,
            _ => (0..self.dice.below(19))
                .fold(0, |number, _| number * 10 + self.dice.below(10) as u64),
        };
        self.text.push_str(&number.max(least).to_string());
    }

    fn string(&mut self) {
        self.text.push('"');
        for _ in 0..self.dice.below(7) {
            self.text.push_str(PIECES[self.dice.below(PIECES.len())]);
        }
        self.text.push('"');
    }

    /// A known name, at times with escapes.
    fn name(&mut self, name: &str) {
        let escapes = self.dice.below(3) == 0;
        self.text.push('"');
        for char in name.chars() {
            match self.dice.below(6) {
                0 if escapes => self.text.push_str(&format!("\\u{:04x}", u32::from(char))),
                1 if escapes => self.text.push_str(&format!("\\u{:04X}", u32::from(char))),
                _ => self.text.push(char),
            }
        }
        self.text.push('"');
    }

    fn colon(&mut self) {
        self.space();
        self.text.push(':');
        self.space();
    }

    fn space(&mut self) {
        self.text.push_str(SPACES[self.dice.below(SPACES.len())]);
    }
}
