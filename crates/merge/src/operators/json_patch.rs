use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{MergeOperator, OperatorError};

/// Objects in one another that a patch may have.
const DEPTH_MAX: usize = 128;

/// `json-patch`: values are JSON texts, operands JSON merge patches as RFC 7396 has them. The
/// members of a patch replace those of the value, objects member by member; `null` removes one.
/// Nothing counts as a value that is no object.
///
/// What a patch does not touch stays as it is written, numbers of any size included. Objects that it
/// changes come out with their members in bytewise order of the names, the last of several of one
/// name, and no space between. A patch in which objects lie more than 128 deep is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonPatch;

impl MergeOperator for JsonPatch {
    fn name(&self) -> &'static str {
        "json-patch"
    }

    fn full(
        &self,
        _key: &[u8],
        base: Option<&[u8]>,
        operands: &[&[u8]],
    ) -> Result<Vec<u8>, OperatorError> {
        let mut node = base.map(|base| parse(base, "value").map(Node::Text)).transpose()?;
        for operand in operands {
            node = Some(patched(node, patch_of(operand)?)?);
        }
        let mut out = Vec::new();
        if let Some(node) = node {
            node.write(&mut out);
        }
        Ok(out)
    }

    fn partial(&self, _key: &[u8], operands: &[&[u8]]) -> Option<Vec<u8>> {
        let mut patches = operands.iter().map(|operand| patch_of(operand).ok());
        let mut node = patches.next()??;
        for patch in patches {
            node = composed(node, patch?)?;
        }
        let mut out = Vec::new();
        node.write(&mut out);
        Some(out)
    }
}

type Members<'a> = BTreeMap<String, Node<'a>>;

/// A value: as it is written, or an object that was taken apart.
enum Node<'a> {
    Text(&'a RawValue),
    Object(Members<'a>),
}

impl<'a> Node<'a> {
    /// The members, if it is an object.
    fn members(self) -> Result<Option<Members<'a>>, OperatorError> {
        match self {
            Self::Object(members) => Ok(Some(members)),
            Self::Text(text) if is_object(text) => {
                Ok(Some(members_of(text)?.map(|(name, text)| (name, Self::Text(text))).collect()))
            }
            Self::Text(_) => Ok(None),
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Text(text) if text.get() == "null")
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.get().as_bytes()),
            Self::Object(members) => {
                out.push(b'{');
                for (number, (name, node)) in members.iter().enumerate() {
                    if number > 0 {
                        out.push(b',');
                    }
                    out.extend(serde_json::Value::from(name.as_str()).to_string().into_bytes());
                    out.push(b':');
                    node.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn parse<'a>(text: &'a [u8], what: &str) -> Result<&'a RawValue, OperatorError> {
    serde_json::from_slice(text)
        .map_err(|error| OperatorError::new(format!("the {what} is not JSON: {error}")))
}

fn is_object(text: &RawValue) -> bool {
    text.get().starts_with('{')
}

fn members_of(text: &RawValue) -> Result<impl Iterator<Item = (String, &RawValue)>, OperatorError> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text.get())
        .map_err(|error| OperatorError::new(format!("a name is not JSON: {error}")))?;
    Ok(members.into_iter())
}

/// A patch, with all of its objects taken apart, so that it is known to be one.
fn patch_of(operand: &[u8]) -> Result<Node<'_>, OperatorError> {
    take_apart(parse(operand, "patch")?, 0)
}

fn take_apart(text: &RawValue, depth: usize) -> Result<Node<'_>, OperatorError> {
    if !is_object(text) {
        return Ok(Node::Text(text));
    }
    if depth == DEPTH_MAX {
        let reason = format!("the patch is more than {DEPTH_MAX} objects deep");
        return Err(OperatorError { reason });
    }
    let members = members_of(text)?;
    let taken = members.map(|(name, text)| Ok((name, take_apart(text, depth + 1)?)));
    taken.collect::<Result<_, _>>().map(Node::Object)
}

/// What `patch` makes of `target`.
fn patched<'a>(target: Option<Node<'a>>, patch: Node<'a>) -> Result<Node<'a>, OperatorError> {
    let Node::Object(patch) = patch else { return Ok(patch) };
    let members = target.map(Node::members).transpose()?.flatten();
    let mut members = members.unwrap_or_default();
    for (name, patch) in patch {
        let member = members.remove(&name);
        if !patch.is_null() {
            members.insert(name, patched(member, patch)?);
        }
    }
    Ok(Node::Object(members))
}

/// A patch that does what `first` and then `second` do. There is none where `second` patches what
/// `first` has made no object: no patch says "this object, whatever was there".
fn composed<'a>(first: Node<'a>, second: Node<'a>) -> Option<Node<'a>> {
    let (first, second) = match (first, second) {
        (Node::Object(first), Node::Object(second)) => (first, second),
        (Node::Text(_), Node::Object(_)) => return None,
        (_, text) => return Some(text),
    };
    let mut members = first;
    for (name, patch) in second {
        let member = match members.remove(&name) {
            Some(member) => composed(member, patch)?,
            None => patch,
        };
        members.insert(name, member);
    }
    Some(Node::Object(members))
}
