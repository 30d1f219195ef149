//! Chinese (simplified).

use super::Cure;
use crate::validate::fault::{Expected, Fault, Found, Kind, NumberForm, Syntax};
use crate::validate::field::Field;

pub(super) fn sentence(fault: &Fault) -> String {
    match *fault {
        Fault::Syntax(syntax) => self::syntax(syntax),
        Fault::WrongKind { field, found } => format!(
            "{}必须是{}，实际为{}：{}",
            subject(field),
            wanted(field),
            kind(found),
            kind_cure(field, found)
        ),
        Fault::NotInteger { field, form } => {
            let form = match form {
                NumberForm::Fraction => "带小数的数字",
                NumberForm::Exponent => "带指数的数字",
                NumberForm::MinusZero => "负零",
            };
            format!("{}必须是整数，实际为{form}：请只写数字", subject(field))
        }
        Fault::TooSmall { field: Field::CurDeptId } => {
            "curDeptId 必须在 1 到 9223372036854775807 之间，实际为更小的整数：请填写已有部门的 ID"
                .to_owned()
        }
        Fault::TooSmall { field } => format!(
            "{}必须在 0 到 9223372036854775807 之间，实际为负整数：请填写 0 或更大的整数",
            subject(field)
        ),
        Fault::TooLarge { field } => {
            let least = i32::from(field == Field::CurDeptId);
            format!(
                "{}必须在 {least} 到 9223372036854775807 之间，实际为更大的整数：请检查是否多写了数字",
                subject(field)
            )
        }
        Fault::Missing { field } => {
            format!("缺少必填的 {}：请添加，类型为{}", field.name(), wanted(field))
        }
        Fault::NoUsers => "users 至少要有一个用户，实际为空数组：请添加要校验的用户".to_owned(),
        Fault::TooManyUsers { max, found } => {
            format!("users 最多 {max} 个用户，实际为 {found} 个：请分批发送")
        }
        Fault::NameTooLong { max, found } => {
            format!("targetDeptName 最多 {max} 个字符，实际为 {found} 个：请缩短名称")
        }
        Fault::CapacityNotAllocated => {
            "isAllocateCapacity 为 false 时 personalCapacity 必须是 0，实际大于 0：请写 0，\
             或将 isAllocateCapacity 设为 true"
                .to_owned()
        }
        Fault::CapacityZero => {
            "isAllocateCapacity 为 true 时 personalCapacity 至少为 1，实际更小：请填写容量（GB），\
             或将 isAllocateCapacity 设为 false"
                .to_owned()
        }
        Fault::CapacityAbove { max } => {
            format!("personalCapacity 最多 {max} GB，实际更大：请减小容量")
        }
        Fault::UnknownMember { of: Field::User } => {
            "未知成员：请删除；用户只有 targetDeptName、personalCapacity 和 isAllocateCapacity"
                .to_owned()
        }
        Fault::UnknownMember { .. } => "未知成员：请删除；批次只有 curDeptId 和 users".to_owned(),
        Fault::DuplicateMember { field } => format!(
            "{}在同一对象中只能出现一次，实际重复出现：请删除其中一个",
            field.map_or("该成员", subject)
        ),
        Fault::LoneSurrogate { in_name } => format!(
            "{}必须是有效的 Unicode，实际含有半个代理对：请写全两个 \\u 转义，或直接写该字符",
            if in_name { "该成员的名称" } else { "该字符串" }
        ),
        Fault::TooDeep { max } => {
            format!("该值的嵌套最多 {max} 层，实际更深：请减少嵌套")
        }
        Fault::NumberTooLarge => {
            "该数字必须在 1e308 以内，实际更大：并非所有解析器都能读取，请改用较小的数字或字符串"
                .to_owned()
        }
    }
}

fn subject(field: Field) -> &'static str {
    match field {
        Field::Root => "请求体",
        Field::User => "users 的每个元素",
        // Latin names are set off by a blank.
        Field::CurDeptId => "curDeptId ",
        Field::Users => "users ",
        Field::TargetDeptName => "targetDeptName ",
        Field::PersonalCapacity => "personalCapacity ",
        Field::IsAllocateCapacity => "isAllocateCapacity ",
    }
}

fn wanted(field: Field) -> &'static str {
    match field {
        Field::Root => " JSON 对象",
        Field::User => "对象",
        Field::Users => "对象数组",
        Field::CurDeptId | Field::PersonalCapacity => "整数",
        Field::TargetDeptName => "字符串或 null",
        Field::IsAllocateCapacity => "布尔值",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Object => "对象",
        Kind::Array => "数组",
        Kind::String => "字符串",
        Kind::Number => "数字",
        Kind::Boolean => "布尔值",
        Kind::Null => " null",
    }
}

fn kind_cure(field: Field, found: Kind) -> &'static str {
    match field {
        Field::Root => "请发送 {\"curDeptId\": …, \"users\": […]}",
        Field::Users => "请用 [ ] 括起所有用户",
        Field::User => "请用 { } 括起每个用户",
        Field::CurDeptId | Field::PersonalCapacity if found == Kind::String => "请去掉引号",
        Field::CurDeptId | Field::PersonalCapacity => "请只写数字",
        Field::TargetDeptName => "请用双引号括起，或省略该成员",
        Field::IsAllocateCapacity => "请写 true 或 false，不加引号",
    }
}

fn syntax(syntax: Syntax) -> String {
    let (expected, found) = match syntax {
        Syntax::Empty => return "请求体必须是 JSON 对象，实际为空：请发送一个对象".to_owned(),
        Syntax::ByteOrderMark => {
            return "JSON 不能以字节顺序标记开头：请保存为无 BOM 的 UTF-8".to_owned();
        }
        Syntax::NotUtf8 => {
            return "JSON 必须是 UTF-8，实际含有其他编码的字节：请将请求体转换为 UTF-8".to_owned();
        }
        Syntax::ControlInString => {
            return "字符串中不能有控制字符，实际有一个（或缺少结束引号）：请写成 \\n、\\t 等转义"
                .to_owned();
        }
        Syntax::UnknownEscape => {
            return "反斜杠之后必须是 JSON 转义字符，实际为其他字符：反斜杠本身请写成 \\\\"
                .to_owned();
        }
        Syntax::LeadingZero => {
            return "数字不能以 0 开头再接数字，实际还有数字：请去掉前导零".to_owned();
        }
        Syntax::Unexpected { expected, found } => (expected, found),
    };
    let cure = match Cure::of(expected, found) {
        Cure::SendWhole => "请求体不完整，请完整发送",
        Cure::PlainPunctuation => "请使用英文半角的引号、逗号、冒号和空格",
        Cure::DoubleQuotes => "请使用双引号",
        Cure::NoComments => "请删除，JSON 没有注释",
        Cure::MissingComma => "其前缺少逗号",
        Cure::TrailingComma => "请删除其前的逗号",
        Cure::ExtraComma => "请删除此逗号",
        Cure::MissingValue => "其前缺少值",
        Cure::QuoteName => "请用双引号括起名称",
        Cure::QuoteWord => "文本请用双引号括起；true、false、null 须小写",
        Cure::MissingColon => "名称和值之间请加冒号",
        Cure::OneValue => "请删除值之后的内容",
        Cure::FourHexDigits => "\\u 之后请写四位十六进制数字",
        Cure::DigitsOnly => "请写完整的数字",
        Cure::Look => "请更正此处的 JSON",
    };
    format!("此处应为{}，实际为{}：{cure}", self::expected(expected), self::found(found))
}

fn expected(expected: Expected) -> &'static str {
    match expected {
        Expected::Value | Expected::Element => "一个值",
        Expected::ElementOrEnd => "一个值或 `]`",
        Expected::Name => "双引号括起的名称",
        Expected::NameOrEnd => "双引号括起的名称或 `}`",
        Expected::Colon => " `:`",
        Expected::CommaOrBrace => " `,` 或 `}`",
        Expected::CommaOrBracket => " `,` 或 `]`",
        Expected::Digit => "数字",
        Expected::HexDigit => "十六进制数字",
        Expected::Literal => " `true`、`false` 或 `null`",
        Expected::ClosingQuote => "字符串的结束引号",
        Expected::EndOfBody => "请求体的结尾",
    }
}

fn found(found: Found) -> String {
    let text = match found {
        Found::Sign(sign) => return format!(" `{sign}`"),
        Found::End => "请求体的结尾",
        Found::String => "双引号",
        Found::Number => "数字",
        Found::Word => "字母",
        Found::SingleQuote => "单引号",
        Found::Comment => "注释",
        Found::Control => "控制字符",
        Found::Lookalike => "全角标点或特殊空格",
        Found::Other => "JSON 在此处不用的字符",
    };
    text.to_owned()
}
