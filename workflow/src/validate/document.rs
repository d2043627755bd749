//! Parses a text into a tree of values with their positions, within limits.
//!
//! The parser yields one event at a time, and the limits are checked after each event, so memory is bounded for any input.
//! JSON is parsed by the same parser, because it is a subset of YAML.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

use super::code::Code;
use super::finding::{Finding, Location, MAX_FINDINGS, Path, Segment, truncated};
use super::scalar;
use crate::limits::Limits;

/// Maximum bytes of one scalar.
const MAX_SCALAR_BYTES: usize = 256 << 10;

/// Number of characters that the scanner looks ahead for the end of a key.
const LOOKAHEAD: usize = 1_024;

/// Line and column in characters, from 1.
type LineColumn = (usize, usize);

/// A parsed document with the positions of all keys and values.
pub(super) struct ParsedTree<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    root: usize,
}

struct Node {
    position: LineColumn,
    content: Content,
}

enum Content {
    Scalar { value: Value, style: ScalarLayout, is_one_line: bool },
    List(Vec<usize>),
    Object(Vec<Member>),
    Alias(usize),
}

struct Member {
    key: String,
    position: LineColumn,
    value: usize,
}

/// Layout of a scalar, as needed to compute positions within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScalarLayout {
    Plain,
    Quoted,
    Literal,
    Folded,
}

/// Parses `text`.
///
/// # Errors
/// All findings about the text, if there are any.
pub(super) fn parse<'a>(text: &'a str, limits: &Limits) -> Result<ParsedTree<'a>, Vec<Finding>> {
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
            Ok(ParsedTree { text, nodes: builder.nodes, root })
        }
        Some(_) | None => Err(builder.findings),
    }
}

/// Returns the position of the byte `offset` in `bytes`, which are valid UTF-8 up to there.
pub(super) fn position_of_byte(bytes: &[u8], offset: usize) -> LineColumn {
    let before = &bytes[..offset];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, 1 + String::from_utf8_lossy(&before[start..]).chars().count())
}

fn finding(
    code: Code,
    position: LineColumn,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    Finding::error(code, Path::default(), message, hint)
        .at(Location::Position(position.0, position.1))
}

fn position(marker: Marker) -> LineColumn {
    (marker.line().max(1), marker.col() + 1)
}

/// An unfinished list or object.
struct Frame {
    node: usize,
    anchor: usize,
    /// The totals before it started.
    before: NodeBudget,
    height: usize,
    /// The keys of an object; `None` for a list.
    keys: Option<Keys>,
}

/// The keys of an unfinished object.
#[derive(Default)]
struct Keys {
    /// All keys so far, with their positions.
    seen: BTreeMap<String, LineColumn>,
    /// The key whose value comes next.
    next: Option<(String, LineColumn)>,
}

/// Number of nodes and bytes after alias expansion.
#[derive(Clone, Copy, Default)]
struct NodeBudget {
    nodes: usize,
    bytes: usize,
}

/// The value of an anchor.
struct AnchorTarget {
    node: usize,
    total: NodeBudget,
    height: usize,
}

struct Builder<'l> {
    limits: &'l Limits,
    nodes: Vec<Node>,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, AnchorTarget>,
    total: NodeBudget,
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
            total: NodeBudget::default(),
            anchor_count: 0,
            alias_count: 0,
            root: None,
            documents: 0,
            findings: Vec::new(),
        }
    }

    /// Parses to the end or to the first fatal error.
    fn run(&mut self, text: &str) -> Result<(), Finding> {
        let mut options = granit_parser::options! {
            disallow_directives: true,
            // Larger than the scanner's lookahead, so that our own depth limit reports the position.
            flow_nesting_limit: 2 * LOOKAHEAD,
            block_nesting_limit: 2 * LOOKAHEAD,
            simple_key_max_lookahead: LOOKAHEAD,
        };
        options.set_emit_comments(false);
        let mut parser = Parser::new_from_str_with_options(text, options);
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| self.scan_error(&error))?;
            self.event(event, span)?;
            if self.findings.len() >= MAX_FINDINGS {
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

    fn scan_error(&self, error: &granit_parser::ScanError) -> Finding {
        let at = position(*error.marker());
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.too_deep(at),
            ErrorKind::UnknownAnchor => finding(
                Code::InvalidAlias,
                at,
                "the alias refers to an unknown anchor",
                "write the value out",
            ),
            _ => finding(
                Code::Syntax,
                at,
                truncated(&error.info(), 256),
                "fix the YAML here; indent with spaces, and quote strings that contain `: ` or ` #`",
            ),
        }
    }

    fn too_deep(&self, at: LineColumn) -> Finding {
        finding(
            Code::TooDeep,
            at,
            format!("nested deeper than {} levels", self.limits.depth),
            "flatten the document",
        )
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let at = position(span.start);
        if let Some(tag) = event.tag() {
            let message = format!("the tag `{}` is not supported", truncated(&tag.original(), 64));
            self.findings.push(finding(
                Code::Tag,
                span.tag_start().map_or(at, position),
                message,
                "remove the tag; the type is determined by the field",
            ));
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(finding(
                        Code::ManyDocuments,
                        at,
                        "a second document starts here",
                        "put each manifest into its own file",
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

    fn charge(&mut self, more: NodeBudget, at: LineColumn) -> Result<(), Finding> {
        self.total = NodeBudget {
            nodes: self.total.nodes + more.nodes,
            bytes: self.total.bytes + more.bytes,
        };
        if self.total.nodes > self.limits.yaml_nodes {
            let message =
                format!("more than {} nodes after alias expansion", self.limits.yaml_nodes);
            return Err(finding(
                Code::TooManyNodes,
                at,
                message,
                "split it into several documents",
            ));
        }
        if self.total.bytes > self.limits.document_bytes {
            let message =
                format!("more than {} bytes after alias expansion", self.limits.document_bytes);
            return Err(finding(Code::TooLarge, at, message, "split it into several documents"));
        }
        Ok(())
    }

    fn count_anchor(&mut self, anchor: usize, at: LineColumn) -> Result<(), Finding> {
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
        let at = position(span.start);
        let before = self.total;
        self.count_anchor(anchor, at)?;
        self.charge(NodeBudget { nodes: 1, bytes: text.len() }, at)?;
        if text.len() > MAX_SCALAR_BYTES {
            let message =
                format!("the value has {} bytes; the limit is {MAX_SCALAR_BYTES}", text.len());
            return Err(finding(Code::ScalarTooLong, at, message, "shorten it"));
        }
        if self.take_key(text, style, at) {
            return Ok(());
        }
        let (style, value) = match style {
            ScalarStyle::Plain => (ScalarLayout::Plain, scalar::resolve(text)),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                (ScalarLayout::Quoted, Ok(text.into()))
            }
            ScalarStyle::Literal => (ScalarLayout::Literal, Ok(text.into())),
            ScalarStyle::Folded => (ScalarLayout::Folded, Ok(text.into())),
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

    /// Uses a scalar as the next key of the open object, if a key is expected. Returns whether it was used.
    fn take_key(&mut self, text: &str, style: ScalarStyle, at: LineColumn) -> bool {
        let Some(Keys { seen, next: next @ None }) =
            self.frames.last_mut().and_then(|frame| frame.keys.as_mut())
        else {
            return false;
        };
        *next = Some((text.to_owned(), at));
        if let Some(first) = seen.get(text) {
            let message =
                format!("duplicate key `{}`; first used in line {}", truncated(text, 64), first.0);
            self.findings.push(finding(Code::DuplicateKey, at, message, "remove one of the keys"));
        } else {
            seen.insert(text.to_owned(), at);
        }
        if text == "<<" && style == ScalarStyle::Plain {
            self.findings.push(finding(
                Code::MergeKey,
                at,
                "merge keys are not supported",
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
        at: LineColumn,
    ) -> Result<(), Finding> {
        let before = self.total;
        self.count_anchor(anchor, at)?;
        self.charge(NodeBudget { nodes: 1, bytes: 0 }, at)?;
        if self.frames.len() >= self.limits.depth {
            return Err(self.too_deep(at));
        }
        self.reject_as_key(at)?;
        let node = self.add(at, content);
        self.frames.push(Frame { node, anchor, before, height: 0, keys });
        Ok(())
    }

    /// Rejects a non-scalar where a key is expected.
    fn reject_as_key(&self, at: LineColumn) -> Result<(), Finding> {
        match self.frames.last().and_then(|frame| frame.keys.as_ref()) {
            Some(Keys { next: None, .. }) => Err(finding(
                Code::KeyNotString,
                at,
                "a key must be a string",
                "use a string as the key; quote strings that start with `[`, `{` or `*`",
            )),
            Some(Keys { next: Some(_), .. }) | None => Ok(()),
        }
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        self.name(frame.anchor, frame.node, frame.before, frame.height + 1);
        self.attach(frame.node, frame.height + 1);
    }

    fn alias(&mut self, id: usize, at: LineColumn) -> Result<(), Finding> {
        self.alias_count += 1;
        if self.alias_count > self.limits.yaml_aliases {
            let message = format!("more than {} aliases", self.limits.yaml_aliases);
            return Err(finding(Code::TooManyAliases, at, message, "write the values out"));
        }
        self.reject_as_key(at)?;
        let Some(target) = self.anchors.get(&id) else {
            return Err(finding(
                Code::InvalidAlias,
                at,
                "the alias is part of the value that it refers to",
                "write the value out",
            ));
        };
        let (target, total, height) = (target.node, target.total, target.height);
        self.charge(total, at)?;
        if self.frames.len() + height > self.limits.depth + 1 {
            return Err(self.too_deep(at));
        }
        let node = self.add(at, Content::Alias(target));
        self.attach(node, height);
        Ok(())
    }

    fn add(&mut self, position: LineColumn, content: Content) -> usize {
        self.nodes.push(Node { position, content });
        self.nodes.len() - 1
    }

    fn name(&mut self, anchor: usize, node: usize, before: NodeBudget, height: usize) {
        if anchor != 0 {
            let total = NodeBudget {
                nodes: self.total.nodes - before.nodes,
                bytes: self.total.bytes - before.bytes,
            };
            self.anchors.insert(anchor, AnchorTarget { node, total, height });
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
            (Content::Object(members), Some((key, position))) => {
                members.push(Member { key, position, value: child })
            }
            (Content::Object(_) | Content::Scalar { .. } | Content::Alias(_), _) => {}
        }
    }
}

impl ParsedTree<'_> {
    /// Returns the document as a JSON value.
    pub(super) fn value(&self) -> Value {
        self.value_of(self.root)
    }

    /// The recursion is bounded by the nesting limit, which was checked during parsing.
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

    /// Returns the position of a finding, or that of the closest enclosing value if the path is not in the text.
    pub(super) fn position(&self, path: &Path, at: Location) -> LineColumn {
        let (mut node, mut key) = (self.root, self.nodes[self.root].position);
        for segment in &path.0 {
            let Some((child, position)) = self.child(node, segment) else { return key };
            (node, key) = (child, position);
        }
        match at {
            Location::Position(line, column) => (line, column),
            Location::Key => key,
            Location::Value => self.nodes[node].position,
            Location::Inside(line, column) => self.position_within(node, line, column),
        }
    }

    fn child(&self, node: usize, segment: &Segment) -> Option<(usize, LineColumn)> {
        match (&self.nodes[node].content, segment) {
            (Content::Alias(target), _) => self.child(*target, segment),
            (Content::List(items), Segment::Index(index)) => {
                items.get(*index).map(|item| (*item, self.nodes[*item].position))
            }
            (Content::Object(members), Segment::Key(key)) => members
                .iter()
                .find(|member| member.key == *key)
                .map(|member| (member.value, member.position)),
            (Content::List(_) | Content::Object(_) | Content::Scalar { .. }, _) => None,
        }
    }

    /// Returns the position of a line and column within a scalar, or that of the scalar if it cannot be determined.
    fn position_within(&self, node: usize, line: usize, column: usize) -> LineColumn {
        let Node { position, content } = &self.nodes[node];
        match content {
            Content::Alias(target) => self.position_within(*target, line, column),
            Content::Scalar { style: ScalarLayout::Plain, is_one_line: true, .. } if line == 1 => {
                (position.0, position.1 + column - 1)
            }
            Content::Scalar { style: ScalarLayout::Quoted, is_one_line: true, .. } if line == 1 => {
                (position.0, position.1 + column)
            }
            Content::Scalar {
                style: style @ (ScalarLayout::Literal | ScalarLayout::Folded),
                value,
                ..
            } if line > 0 => {
                // The parser reports the position of the first line of the content that is not blank.
                let blank = value
                    .as_str()
                    .map_or(0, |text| text.len() - text.trim_start_matches('\n').len());
                let content =
                    self.text.lines().skip(position.0 - 1).find(|line| !line.trim().is_empty());
                let indent =
                    content.map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
                match style {
                    ScalarLayout::Literal => {
                        ((position.0 + line - 1).saturating_sub(blank), indent + column)
                    }
                    ScalarLayout::Folded | ScalarLayout::Plain | ScalarLayout::Quoted => {
                        (position.0, indent + 1)
                    }
                }
            }
            Content::Scalar { .. } | Content::List(_) | Content::Object(_) => *position,
        }
    }
}
