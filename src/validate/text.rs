//! Faults in words, both languages side by side: field, rule, what kind of thing was found, and
//! the cure. No sentence repeats a value of the batch.

use super::fault::{Expected, Fault, Found, Kind, NumberForm, Syntax};
use super::field::Field;
use super::language::{Language, Words};

/// The sentence for a fault.
pub(super) fn of(fault: &Fault, language: Language) -> String {
    let subject = |field| subject(field).of(language);
    let parts: [&str; 4] = match *fault {
        Fault::Syntax(Syntax::Unexpected { expected, found }) => {
            return unexpected(expected, found, language);
        }
        Fault::WrongKind { field, found } => [
            subject(field),
            wanted(field).of(language),
            kind(found).of(language),
            kind_cure(field, found).of(language),
        ],
        Fault::NotInteger { field, form: written } => {
            [subject(field), form(written).of(language), "", ""]
        }
        Fault::TooSmall { field } | Fault::DuplicateMember { field: Some(field) } => {
            [subject(field), "", "", ""]
        }
        Fault::TooLarge { field: Field::CurDeptId } => [subject(Field::CurDeptId), "1", "", ""],
        Fault::TooLarge { field } => [subject(field), "0", "", ""],
        Fault::LookalikeMember { field } => [field.name(), "", "", ""],
        Fault::Missing { field } => [field.name(), wanted(field).of(language), "", ""],
        Fault::TooManyUsers { max, found } | Fault::NameTooLong { max, found } => {
            return template(fault).fill(language, &[&max.to_string(), &found.to_string()]);
        }
        Fault::CapacityAbove { max } => {
            return template(fault).fill(language, &[&max.to_string()]);
        }
        Fault::TooDeep { max } => return template(fault).fill(language, &[&max.to_string()]),
        Fault::DuplicateMember { field: None } => {
            [Words("this member", "该成员").of(language), "", "", ""]
        }
        Fault::LoneSurrogate { in_name } => {
            let name = Words("the name of this member", "该成员的名称");
            let value = Words("this string", "该字符串");
            [if in_name { name } else { value }.of(language), "", "", ""]
        }
        Fault::Syntax(_)
        | Fault::OrgIdDepartment
        | Fault::NoUsers
        | Fault::CapacityNotAllocated
        | Fault::CapacityZero
        | Fault::UnknownMember { .. }
        | Fault::NumberTooLarge => ["", "", "", ""],
    };
    template(fault).fill(language, &parts)
}

/// The sentence, with `{}` for what [`of`] fills in.
fn template(fault: &Fault) -> Words {
    match fault {
        Fault::Syntax(syntax) => self::syntax(*syntax),
        Fault::WrongKind { .. } => Words("{} must be {}, found {}: {}", "{}必须是{}，实际为{}：{}"),
        Fault::OrgIdDepartment => ORG_ID_DEPARTMENT,
        Fault::NotInteger { .. } => Words(
            "{} must be an integer, found {}: write plain digits",
            "{}必须是整数，实际为{}：请只写数字",
        ),
        Fault::TooSmall { field: Field::CurDeptId } => DEPARTMENT_TOO_SMALL,
        Fault::TooSmall { .. } => TOO_SMALL,
        Fault::TooLarge { .. } => TOO_LARGE,
        Fault::Missing { .. } => {
            Words("{} is required but missing: add it as {}", "缺少必填的 {}：请添加，类型为{}")
        }
        Fault::NoUsers => NO_USERS,
        Fault::TooManyUsers { .. } => Words(
            "users may hold at most {} users, found {}: send several batches",
            "users 最多 {} 个用户，实际为 {} 个：请分批发送",
        ),
        Fault::NameTooLong { .. } => Words(
            "targetDeptName may have at most {} characters, found {}: shorten the name",
            "targetDeptName 最多 {} 个字符，实际为 {} 个：请缩短名称",
        ),
        Fault::CapacityNotAllocated => CAPACITY_NOT_ALLOCATED,
        Fault::CapacityZero => CAPACITY_ZERO,
        Fault::CapacityAbove { .. } => Words(
            "personalCapacity may be at most {} GB, found more: request less",
            "personalCapacity 最多 {} GB，实际更大：请减小容量",
        ),
        Fault::LookalikeMember { .. } => LOOKALIKE,
        Fault::UnknownMember { of: Field::User } => UNKNOWN_IN_USER,
        Fault::UnknownMember { .. } => UNKNOWN_IN_BATCH,
        Fault::DuplicateMember { .. } => DUPLICATE,
        Fault::LoneSurrogate { .. } => LONE_SURROGATE,
        Fault::TooDeep { .. } => TOO_DEEP,
        Fault::NumberTooLarge => NUMBER_TOO_LARGE,
    }
}

const ORG_ID_DEPARTMENT: Words = Words(
    "curDeptId must be KooDrive's numeric id of the department, found a string of 32 hexadecimal \
     digits, which is how OrgID writes its deptId: give the department's `id` from KooDrive's \
     department list, as plain digits",
    "curDeptId 必须是该部门在 KooDrive 中的数字 ID，实际为 32 位十六进制字符串，即 OrgID 的 deptId：\
     请填写 KooDrive 部门列表中该部门的 `id`，只写数字",
);
const DEPARTMENT_TOO_SMALL: Words = Words(
    "{} must be from 1 to 9223372036854775807, found a smaller integer: give the id of an existing \
     department",
    "{}必须在 1 到 9223372036854775807 之间，实际为更小的整数：请填写已有部门的 ID",
);
const TOO_SMALL: Words = Words(
    "{} must be from 0 to 9223372036854775807, found a negative integer: give 0 or more",
    "{}必须在 0 到 9223372036854775807 之间，实际为负整数：请填写 0 或更大的整数",
);
const TOO_LARGE: Words = Words(
    "{} must be from {} to 9223372036854775807, found a larger integer: check that no digit was \
     added",
    "{}必须在 {} 到 9223372036854775807 之间，实际为更大的整数：请检查是否多写了数字",
);
const NO_USERS: Words = Words(
    "users must hold at least one user, found an empty array: add the users to check",
    "users 至少要有一个用户，实际为空数组：请添加要校验的用户",
);
const CAPACITY_NOT_ALLOCATED: Words = Words(
    "personalCapacity must be 0 when isAllocateCapacity is false, found more: write 0, or set \
     isAllocateCapacity to true",
    "isAllocateCapacity 为 false 时 personalCapacity 必须是 0，实际大于 0：请写 0，\
     或将 isAllocateCapacity 设为 true",
);
const CAPACITY_ZERO: Words = Words(
    "personalCapacity must be at least 1 when isAllocateCapacity is true, found less: give the \
     capacity in GB, or set isAllocateCapacity to false",
    "isAllocateCapacity 为 true 时 personalCapacity 至少为 1，实际更小：请填写容量（GB），\
     或将 isAllocateCapacity 设为 false",
);
const UNKNOWN_IN_USER: Words = Words(
    "this member is unknown: remove it; a user has targetDeptName, personalCapacity and \
     isAllocateCapacity",
    "未知成员：请删除；用户只有 targetDeptName、personalCapacity 和 isAllocateCapacity",
);
const UNKNOWN_IN_BATCH: Words = Words(
    "this member is unknown: remove it; a batch has curDeptId and users",
    "未知成员：请删除；批次只有 curDeptId 和 users",
);
const LOOKALIKE: Words = Words(
    "the name of this member is too close to {}: a lenient reader would take it for that; write it \
     exactly so, or rename it",
    "该成员的名称与 {} 过于相近，宽松的解析器会将其视为后者：请写成完全一致，或改用其他名称",
);
const DUPLICATE: Words = Words(
    "{} may appear only once in its object, found again: remove one of them",
    "{}在同一对象中只能出现一次，实际重复出现：请删除其中一个",
);
const LONE_SURROGATE: Words = Words(
    "{} must be valid Unicode, found half of a surrogate pair: write both \\u escapes, or the \
     character itself",
    "{}必须是有效的 Unicode，实际含有半个代理对：请写全两个 \\u 转义，或直接写该字符",
);
const TOO_DEEP: Words = Words(
    "this value may be nested at most {} levels deep, found a deeper one: flatten it (of what \
     it holds only the syntax was checked)",
    "该值的嵌套最多 {} 层，实际更深：请减少嵌套（其中的内容只检查了语法）",
);
const NUMBER_TOO_LARGE: Words = Words(
    "this number must be within 1e308, found a larger one: not every parser can read it, write a \
     smaller number or a string",
    "该数字必须在 1e308 以内，实际更大：并非所有解析器都能读取，请改用较小的数字或字符串",
);

/// In Chinese, Latin names are set off by a blank.
fn subject(field: Field) -> Words {
    match field {
        Field::Root => Words("the body", "请求体"),
        Field::User => Words("each element of users", "users 的每个元素"),
        Field::CurDeptId => Words("curDeptId", "curDeptId "),
        Field::Users => Words("users", "users "),
        Field::TargetDeptName => Words("targetDeptName", "targetDeptName "),
        Field::PersonalCapacity => Words("personalCapacity", "personalCapacity "),
        Field::IsAllocateCapacity => Words("isAllocateCapacity", "isAllocateCapacity "),
    }
}

fn wanted(field: Field) -> Words {
    match field {
        Field::Root => Words("a JSON object", " JSON 对象"),
        Field::User => Words("an object", "对象"),
        Field::Users => Words("an array of objects", "对象数组"),
        Field::CurDeptId | Field::PersonalCapacity => Words("an integer", "整数"),
        Field::TargetDeptName => Words("a string or null", "字符串或 null"),
        Field::IsAllocateCapacity => Words("a boolean", "布尔值"),
    }
}

fn kind(kind: Kind) -> Words {
    match kind {
        Kind::Object => Words("an object", "对象"),
        Kind::Array => Words("an array", "数组"),
        Kind::String => Words("a string", "字符串"),
        Kind::Number => Words("a number", "数字"),
        Kind::Boolean => Words("a boolean", "布尔值"),
        Kind::Null => Words("null", " null"),
    }
}

fn kind_cure(field: Field, found: Kind) -> Words {
    match field {
        Field::Root => Words(
            "send {\"curDeptId\": …, \"users\": […]}",
            "请发送 {\"curDeptId\": …, \"users\": […]}",
        ),
        Field::Users => Words("write [ ] around the users", "请用 [ ] 括起所有用户"),
        Field::User => Words("write { } around each user", "请用 { } 括起每个用户"),
        Field::CurDeptId | Field::PersonalCapacity if found == Kind::String => {
            Words("write the digits without quotes", "请去掉引号")
        }
        Field::CurDeptId | Field::PersonalCapacity => Words("write plain digits", "请只写数字"),
        Field::TargetDeptName => {
            Words("write it in double quotes, or omit it", "请用双引号括起，或省略该成员")
        }
        Field::IsAllocateCapacity => {
            Words("write true or false, without quotes", "请写 true 或 false，不加引号")
        }
    }
}

fn form(form: NumberForm) -> Words {
    match form {
        NumberForm::Fraction => Words("a number with a fraction", "带小数的数字"),
        NumberForm::Exponent => Words("a number with an exponent", "带指数的数字"),
        NumberForm::MinusZero => Words("minus zero", "负零"),
    }
}

fn syntax(syntax: Syntax) -> Words {
    match syntax {
        Syntax::Empty => Words(
            "the body must be a JSON object, found nothing: send one",
            "请求体必须是 JSON 对象，实际为空：请发送一个对象",
        ),
        Syntax::NoJson => Words(
            "the body must be a JSON object, found something that is not JSON at all: send the \
             batch itself, which begins with `{`",
            "请求体必须是 JSON 对象，实际内容根本不是 JSON：请发送以 `{` 开头的批次本身",
        ),
        Syntax::ByteOrderMark => Words(
            "JSON must not start with a byte order mark: save it as UTF-8 without BOM",
            "JSON 不能以字节顺序标记开头：请保存为无 BOM 的 UTF-8",
        ),
        Syntax::NotUtf8 => Words(
            "JSON must be UTF-8, found bytes that are not: convert the body to UTF-8",
            "JSON 必须是 UTF-8，实际含有其他编码的字节：请将请求体转换为 UTF-8",
        ),
        Syntax::ControlInString => Words(
            "a string must not hold control characters, found one (or the closing quote is \
             missing): write it as an escape such as \\n or \\t",
            "字符串中不能有控制字符，实际有一个（或缺少结束引号）：请写成 \\n、\\t 等转义",
        ),
        Syntax::UnknownEscape => Words(
            "a backslash must start a JSON escape, found another character: write \\\\ for a \
             backslash",
            "反斜杠之后必须是 JSON 转义字符，实际为其他字符：反斜杠本身请写成 \\\\",
        ),
        Syntax::LeadingZero => Words(
            "a number must not start with 0 and go on, found another digit: remove the leading \
             zeros",
            "数字不能以 0 开头再接数字，实际还有数字：请去掉前导零",
        ),
        Syntax::Unexpected { .. } => UNEXPECTED,
    }
}

const UNEXPECTED: Words = Words("expected {}, found {}: {}", "此处应为{}，实际为{}：{}");

fn unexpected(expected: Expected, found: Found, language: Language) -> String {
    let mut bytes = [0; 4];
    let sign = match found {
        Found::Sign(sign) => sign.encode_utf8(&mut bytes),
        _ => "",
    };
    let cure = cure(expected, found).of(language);
    let (expected, found) = (self::expected(expected).of(language), self::found(found));
    let found = found.fill(language, &[sign]);
    UNEXPECTED.fill(language, &[expected, &found, cure])
}

fn expected(expected: Expected) -> Words {
    match expected {
        Expected::Value | Expected::Element => Words("a value", "一个值"),
        Expected::ElementOrEnd => Words("a value or `]`", "一个值或 `]`"),
        Expected::Name => Words("a name in double quotes", "双引号括起的名称"),
        Expected::NameOrEnd => Words("a name in double quotes or `}`", "双引号括起的名称或 `}`"),
        Expected::Colon => Words("`:`", " `:`"),
        Expected::CommaOrBrace => Words("`,` or `}`", " `,` 或 `}`"),
        Expected::CommaOrBracket => Words("`,` or `]`", " `,` 或 `]`"),
        Expected::Digit => Words("a digit", "数字"),
        Expected::HexDigit => Words("a hexadecimal digit", "十六进制数字"),
        Expected::Literal => Words("`true`, `false` or `null`", " `true`、`false` 或 `null`"),
        Expected::ClosingQuote => Words("the closing quote of a string", "字符串的结束引号"),
        Expected::EndOfBody => Words("the end of the body", "请求体的结尾"),
    }
}

fn found(found: Found) -> Words {
    match found {
        Found::Sign(_) => Words("`{}`", " `{}`"),
        Found::End => Words("the end of the body", "请求体的结尾"),
        Found::String => Words("a double quote", "双引号"),
        Found::Number => Words("a number", "数字"),
        Found::Word => Words("a letter", "字母"),
        Found::NotANumber => Words("`NaN` or `Infinity`", " `NaN` 或 `Infinity`"),
        Found::SingleQuote => Words("a single quote", "单引号"),
        Found::Comment => Words("a comment", "注释"),
        Found::Control => Words("a control character", "控制字符"),
        Found::Lookalike => Words("typographic punctuation or space", "全角标点或特殊空格"),
        Found::Other => Words("a character JSON does not use here", "JSON 在此处不用的字符"),
    }
}

/// What usually cures a syntax error.
fn cure(expected: Expected, found: Found) -> Words {
    match (expected, found) {
        (_, Found::End) => Words("the body is cut off, send it whole", "请求体不完整，请完整发送"),
        (_, Found::Lookalike) => Words(
            "write plain ASCII quotes, commas, colons and spaces",
            "请使用英文半角的引号、逗号、冒号和空格",
        ),
        (_, Found::NotANumber) => Words(
            "JSON has no such number, write the integer that is meant",
            "JSON 中没有这样的数字，请写成实际的整数",
        ),
        (Expected::HexDigit, _) => {
            Words("write four hexadecimal digits after \\u", "\\u 之后请写四位十六进制数字")
        }
        (Expected::Digit, _) => Words("complete the number", "请写完整的数字"),
        (Expected::EndOfBody, _) => Words("remove what follows the value", "请删除值之后的内容"),
        (_, Found::SingleQuote) => Words("write double quotes", "请使用双引号"),
        (_, Found::Comment) => Words("remove it, JSON has no comments", "请删除，JSON 没有注释"),
        (
            Expected::CommaOrBrace | Expected::CommaOrBracket,
            Found::String | Found::Sign('{' | '['),
        )
        | (Expected::CommaOrBracket, Found::Number) => {
            Words("a comma is missing before it", "其前缺少逗号")
        }
        (Expected::Name, Found::Sign('}')) | (Expected::Element, Found::Sign(']')) => {
            Words("remove the comma before it", "请删除其前的逗号")
        }
        (Expected::Name | Expected::NameOrEnd, Found::Word | Found::Number) => {
            Words("put the name in double quotes", "请用双引号括起名称")
        }
        (
            Expected::Name | Expected::NameOrEnd | Expected::Element | Expected::ElementOrEnd,
            Found::Sign(','),
        ) => Words("remove this comma", "请删除此逗号"),
        (Expected::Value, Found::Sign('}' | ',')) => {
            Words("a value is missing before it", "其前缺少值")
        }
        (
            Expected::Value | Expected::Element | Expected::ElementOrEnd | Expected::Literal,
            Found::Word,
        ) => Words(
            "put text in double quotes; true, false and null are lower case",
            "文本请用双引号括起；true、false、null 须小写",
        ),
        (Expected::Colon, _) => Words("put a colon between name and value", "名称和值之间请加冒号"),
        _ => Words("correct the JSON here", "请更正此处的 JSON"),
    }
}
