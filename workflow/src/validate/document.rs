//! A text as a tree of values with their places, read within bounds.
//!
//! The parser hands over one event after another, and each is weighed before the next is asked for: nothing grows
//! beyond the limits, whatever the text holds. JSON is read by the same parser, being YAML.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

use super::code::Code;
use super::finding::{At, Finding, MOST, Path, Segment, shown};
use super::scalar;
use crate::limits::Limits;

/// Most bytes of one value.
const SCALAR_BYTES: usize = 256 << 10;

/// How many characters the scanner looks ahead for the end of a key.
const LOOKAHEAD: usize = 1_024;

/// A line and a column, from 1, in characters.
type Place = (usize, usize);

/// A document with the place of everything in it.
pub(super) struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    root: usize,
}

struct Node {
    place: Place,
    content: Content,
}

enum Content {
    Scalar { value: Value, style: Style, is_one_line: bool },
    List(Vec<usize>),
    Object(Vec<Member>),
    Alias(usize),
}

struct Member {
    key: String,
    place: Place,
    value: usize,
}

/// How a scalar is written, as far as places inside it depend on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Quoted,
    Literal,
    Folded,
}

/// Reads `text`.
///
/// # Errors
/// Every finding about the text; a tree only if there is none.
pub(super) fn read<'a>(text: &'a str, limits: &Limits) -> Result<Document<'a>, Vec<Finding>> {
    if text.len() > limits.document_bytes {
        let message = format!("the document has more than {} bytes", limits.document_bytes);
        return Err(vec![finding(
            Code::TooLarge,
            (1, 1),
            message,
            "split it into several documents",
        )]);
    }
    let mut builder = Builder::new(limits);
    let fatal = builder.run(text).err();
    builder.findings.extend(fatal);
    match builder.root {
        Some(root) if builder.findings.is_empty() => {
            Ok(Document { text, nodes: builder.nodes, root })
        }
        Some(_) | None => Err(builder.findings),
    }
}

/// The place of the byte `offset` of `bytes`, which are UTF-8 up to there.
pub(super) fn place_of_byte(bytes: &[u8], offset: usize) -> Place {
    let before = &bytes[..offset];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, 1 + String::from_utf8_lossy(&before[start..]).chars().count())
}

fn finding(
    code: Code,
    place: Place,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    Finding::error(code, Path::default(), message, hint).at(At::Place(place.0, place.1))
}

fn place(marker: Marker) -> Place {
    (marker.line().max(1), marker.col() + 1)
}

/// A list or an object that is not complete.
struct Frame {
    node: usize,
    anchor: usize,
    /// What had been read when it began.
    before: Weight,
    height: usize,
    /// The keys of an object; `None` for a list.
    keys: Option<Keys>,
}

/// The keys of an object that is not complete.
#[derive(Default)]
struct Keys {
    /// All so far, with their places.
    seen: BTreeMap<String, Place>,
    /// The one whose value comes next.
    next: Option<(String, Place)>,
}

/// How much has been read, aliases expanded.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

/// What an anchor names.
struct Anchored {
    node: usize,
    weight: Weight,
    height: usize,
}

struct Builder<'l> {
    limits: &'l Limits,
    nodes: Vec<Node>,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Anchored>,
    weight: Weight,
    anchor_count: usize,
    alias_count: usize,
    root: Option<usize>,
    documents: usize,
    findings: Vec<Finding>,
}

impl<'l> Builder<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            nodes: Vec::new(),
            frames: Vec::new(),
            anchors: BTreeMap::new(),
            weight: Weight::default(),
            anchor_count: 0,
            alias_count: 0,
            root: None,
            documents: 0,
            findings: Vec::new(),
        }
    }

    /// Reads to the end, or to what cannot be read past.
    fn run(&mut self, text: &str) -> Result<(), Finding> {
        let mut options = granit_parser::options! {
            disallow_directives: true,
            // Wider than what the scanner looks ahead, so that it is ours to say where the limit was passed.
            flow_nesting_limit: 2 * LOOKAHEAD,
            block_nesting_limit: 2 * LOOKAHEAD,
            simple_key_max_lookahead: LOOKAHEAD,
        };
        options.set_emit_comments(false);
        let mut parser = Parser::new_from_str_with_options(text, options);
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| self.refused(&error))?;
            self.event(event, span)?;
            if self.findings.len() >= MOST {
                return Ok(());
            }
        }
        match self.root {
            Some(_) => Ok(()),
            None if self.findings.is_empty() => Err(finding(
                Code::Empty,
                (1, 1),
                "the document is empty",
                "write a manifest: apiVersion, kind, metadata, spec",
            )),
            None => Ok(()),
        }
    }

    fn refused(&self, error: &granit_parser::ScanError) -> Finding {
        let at = place(*error.marker());
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.too_deep(at),
            ErrorKind::UnknownAnchor => finding(
                Code::BadAlias,
                at,
                "the alias names an anchor that is not there",
                "write the value out",
            ),
            _ => finding(
                Code::Syntax,
                at,
                shown(&error.info(), 256),
                "mend the YAML here; indent with spaces, and quote texts with `: ` or ` #`",
            ),
        }
    }

    fn too_deep(&self, at: Place) -> Finding {
        finding(
            Code::TooDeep,
            at,
            format!("nested deeper than {} levels", self.limits.depth),
            "flatten the document",
        )
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let at = place(span.start);
        if let Some(tag) = event.tag() {
            let message = format!("the tag `{}` asks for a type", shown(&tag.original(), 64));
            self.findings.push(finding(
                Code::Tag,
                span.tag_start().map_or(at, place),
                message,
                "leave the tag out: types are known by the field",
            ));
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(finding(
                        Code::ManyDocuments,
                        at,
                        "a second document begins",
                        "put each manifest into a file of its own",
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, _) => self.scalar(&text, style, anchor, span),
            Event::SequenceStart(_, anchor, _) => {
                self.open(Content::List(Vec::new()), None, anchor, at)
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(Content::Object(Vec::new()), Some(Keys::default()), anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
            Event::Alias(id) => self.alias(id, at),
            _ => Ok(()),
        }
    }

    fn weigh(&mut self, more: Weight, at: Place) -> Result<(), Finding> {
        self.weight =
            Weight { nodes: self.weight.nodes + more.nodes, bytes: self.weight.bytes + more.bytes };
        if self.weight.nodes > self.limits.yaml_nodes {
            let message = format!("more than {} nodes, aliases expanded", self.limits.yaml_nodes);
            return Err(finding(
                Code::TooManyNodes,
                at,
                message,
                "split it into several documents",
            ));
        }
        if self.weight.bytes > self.limits.document_bytes {
            let message =
                format!("more than {} bytes, aliases expanded", self.limits.document_bytes);
            return Err(finding(Code::TooLarge, at, message, "split it into several documents"));
        }
        Ok(())
    }

    fn anchored(&mut self, anchor: usize, at: Place) -> Result<(), Finding> {
        self.anchor_count += usize::from(anchor != 0);
        if self.anchor_count > self.limits.yaml_aliases {
            let message = format!("more than {} anchors", self.limits.yaml_aliases);
            return Err(finding(Code::TooManyAliases, at, message, "write the values out"));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        span: Span,
    ) -> Result<(), Finding> {
        let at = place(span.start);
        let before = self.weight;
        self.anchored(anchor, at)?;
        self.weigh(Weight { nodes: 1, bytes: text.len() }, at)?;
        if text.len() > SCALAR_BYTES {
            let message =
                format!("the value has {} bytes, at most {SCALAR_BYTES} are read", text.len());
            return Err(finding(Code::ScalarTooLong, at, message, "shorten it"));
        }
        if self.takes_key(text, style, at) {
            return Ok(());
        }
        let (style, value) = match style {
            ScalarStyle::Plain => (Style::Plain, scalar::resolve(text)),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                (Style::Quoted, Ok(text.into()))
            }
            ScalarStyle::Literal => (Style::Literal, Ok(text.into())),
            ScalarStyle::Folded => (Style::Folded, Ok(text.into())),
        };
        let value = value.unwrap_or_else(|(code, message, hint)| {
            self.findings.push(finding(code, at, message, hint));
            Value::Null
        });
        let is_one_line = span.start.line() == span.end.line();
        let node = self.add(at, Content::Scalar { value, style, is_one_line });
        self.name(anchor, node, before, 1);
        self.attach(node, 1);
        Ok(())
    }

    /// Takes a scalar as the key of the object that is open, if it stands where a key stands.
    fn takes_key(&mut self, text: &str, style: ScalarStyle, at: Place) -> bool {
        let Some(Keys { seen, next: next @ None }) =
            self.frames.last_mut().and_then(|frame| frame.keys.as_mut())
        else {
            return false;
        };
        *next = Some((text.to_owned(), at));
        if let Some(first) = seen.get(text) {
            let message =
                format!("the key `{}` stands twice; first in line {}", shown(text, 64), first.0);
            self.findings.push(finding(Code::DuplicateKey, at, message, "name each key once"));
        } else {
            seen.insert(text.to_owned(), at);
        }
        if text == "<<" && style == ScalarStyle::Plain {
            self.findings.push(finding(
                Code::MergeKey,
                at,
                "merge keys are not read",
                "write the fields out",
            ));
        }
        true
    }

    fn open(
        &mut self,
        content: Content,
        keys: Option<Keys>,
        anchor: usize,
        at: Place,
    ) -> Result<(), Finding> {
        let before = self.weight;
        self.anchored(anchor, at)?;
        self.weigh(Weight { nodes: 1, bytes: 0 }, at)?;
        if self.frames.len() >= self.limits.depth {
            return Err(self.too_deep(at));
        }
        self.refuse_key(at)?;
        let node = self.add(at, content);
        self.frames.push(Frame { node, anchor, before, height: 0, keys });
        Ok(())
    }

    /// Refuses what is no scalar where a key must stand.
    fn refuse_key(&self, at: Place) -> Result<(), Finding> {
        match self.frames.last().and_then(|frame| frame.keys.as_ref()) {
            Some(Keys { next: None, .. }) => Err(finding(
                Code::KeyNotText,
                at,
                "a key must be a text",
                "write the key out; quote a text that begins with `[`, `{` or `*`",
            )),
            Some(Keys { next: Some(_), .. }) | None => Ok(()),
        }
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        self.name(frame.anchor, frame.node, frame.before, frame.height + 1);
        self.attach(frame.node, frame.height + 1);
    }

    fn alias(&mut self, id: usize, at: Place) -> Result<(), Finding> {
        self.alias_count += 1;
        if self.alias_count > self.limits.yaml_aliases {
            let message = format!("more than {} aliases", self.limits.yaml_aliases);
            return Err(finding(Code::TooManyAliases, at, message, "write the values out"));
        }
        self.refuse_key(at)?;
        let Some(target) = self.anchors.get(&id) else {
            return Err(finding(
                Code::BadAlias,
                at,
                "the alias stands inside what it names",
                "write the value out",
            ));
        };
        let (target, weight, height) = (target.node, target.weight, target.height);
        self.weigh(weight, at)?;
        if self.frames.len() + height > self.limits.depth + 1 {
            return Err(self.too_deep(at));
        }
        let node = self.add(at, Content::Alias(target));
        self.attach(node, height);
        Ok(())
    }

    fn add(&mut self, place: Place, content: Content) -> usize {
        self.nodes.push(Node { place, content });
        self.nodes.len() - 1
    }

    fn name(&mut self, anchor: usize, node: usize, before: Weight, height: usize) {
        if anchor != 0 {
            let weight = Weight {
                nodes: self.weight.nodes - before.nodes,
                bytes: self.weight.bytes - before.bytes,
            };
            self.anchors.insert(anchor, Anchored { node, weight, height });
        }
    }

    fn attach(&mut self, child: usize, height: usize) {
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(child);
            return;
        };
        frame.height = frame.height.max(height);
        let key = frame.keys.as_mut().and_then(|keys| keys.next.take());
        match (&mut self.nodes[frame.node].content, key) {
            (Content::List(items), _) => items.push(child),
            (Content::Object(members), Some((key, place))) => {
                members.push(Member { key, place, value: child })
            }
            (Content::Object(_) | Content::Scalar { .. } | Content::Alias(_), _) => {}
        }
    }
}

impl Document<'_> {
    /// The document as a plain value.
    pub(super) fn value(&self) -> Value {
        self.value_of(self.root)
    }

    /// Recurses no deeper than the limit on nesting, which reading held.
    fn value_of(&self, node: usize) -> Value {
        match &self.nodes[node].content {
            Content::Scalar { value, .. } => value.clone(),
            Content::List(items) => items.iter().map(|item| self.value_of(*item)).collect(),
            Content::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|member| (member.key.clone(), self.value_of(member.value)))
                    .collect::<Map<_, _>>(),
            ),
            Content::Alias(target) => self.value_of(*target),
        }
    }

    /// The place of what a finding is about; of the nearest thing around it where that is not in the text.
    pub(super) fn place(&self, path: &Path, at: At) -> Place {
        let (mut node, mut key) = (self.root, self.nodes[self.root].place);
        for segment in &path.0 {
            let Some((child, place)) = self.child(node, segment) else { return key };
            (node, key) = (child, place);
        }
        match at {
            At::Place(line, column) => (line, column),
            At::Key => key,
            At::Value => self.nodes[node].place,
            At::Inside(line, column) => self.inside(node, line, column),
        }
    }

    fn child(&self, node: usize, segment: &Segment) -> Option<(usize, Place)> {
        match (&self.nodes[node].content, segment) {
            (Content::Alias(target), _) => self.child(*target, segment),
            (Content::List(items), Segment::Index(index)) => {
                items.get(*index).map(|item| (*item, self.nodes[*item].place))
            }
            (Content::Object(members), Segment::Key(key)) => members
                .iter()
                .find(|member| member.key == *key)
                .map(|member| (member.value, member.place)),
            (Content::List(_) | Content::Object(_) | Content::Scalar { .. }, _) => None,
        }
    }

    /// The place of a line and column of the text that a scalar holds; of the scalar where that cannot be told.
    fn inside(&self, node: usize, line: usize, column: usize) -> Place {
        let Node { place, content } = &self.nodes[node];
        match content {
            Content::Alias(target) => self.inside(*target, line, column),
            Content::Scalar { style: Style::Plain, is_one_line: true, .. } if line == 1 => {
                (place.0, place.1 + column - 1)
            }
            Content::Scalar { style: Style::Quoted, is_one_line: true, .. } if line == 1 => {
                (place.0, place.1 + column)
            }
            Content::Scalar { style: style @ (Style::Literal | Style::Folded), value, .. }
                if line > 0 =>
            {
                // The parser says where the first line of the content is that is not blank.
                let blank = value
                    .as_str()
                    .map_or(0, |text| text.len() - text.trim_start_matches('\n').len());
                let content =
                    self.text.lines().skip(place.0 - 1).find(|line| !line.trim().is_empty());
                let indent =
                    content.map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
                match style {
                    Style::Literal => ((place.0 + line - 1).saturating_sub(blank), indent + column),
                    Style::Folded | Style::Plain | Style::Quoted => (place.0, indent + 1),
                }
            }
            Content::Scalar { .. } | Content::List(_) | Content::Object(_) => *place,
        }
    }
}
