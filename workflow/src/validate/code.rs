//! The codes of findings. They are stable across versions.

/// Generates the enum, its string form and its documentation from one table.
macro_rules! codes {
    ($($name:ident $code:literal $summary:literal)*) => {
        /// The kind of a finding. The meaning of a code never changes; new codes may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $summary] $name,)*
        }

        impl Code {
            /// All codes, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the serialized form: `CHI0123`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns its meaning in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => $summary,)* }
            }
        }
    };
}

codes! {
    // The text.
    NotUtf8 "CHI0101" "The document is not UTF-8."
    TooLarge "CHI0102" "The document exceeds the maximum size."
    Syntax "CHI0103" "The document is not valid YAML or JSON."
    Empty "CHI0104" "The document is empty."
    ManyDocuments "CHI0105" "The file contains more than one document."
    TooDeep "CHI0106" "The document exceeds the maximum nesting depth."
    TooManyNodes "CHI0107" "The document exceeds the maximum number of nodes after alias expansion."
    TooManyAliases "CHI0108" "The document exceeds the maximum number of anchors or aliases."
    InvalidAlias "CHI0109" "An alias refers to an unknown anchor, or to an anchor that contains the alias."
    Tag "CHI0110" "YAML tags are not supported."
    MergeKey "CHI0111" "YAML merge keys (`<<`) are not supported."
    DuplicateKey "CHI0112" "A key occurs twice in one object."
    KeyNotString "CHI0113" "A key is not a string."
    ScalarTooLong "CHI0114" "A value exceeds the maximum length."
    Ambiguous "CHI0115" "YAML readers interpret a value differently, or it is a number that is not finite."
    NumberTooLarge "CHI0116" "An integer cannot be represented exactly as a double."
    // The structure.
    ApiVersion "CHI0120" "The apiVersion is not supported."
    Kind "CHI0121" "The kind is not the expected one."
    MissingField "CHI0122" "A required field is missing."
    UnknownField "CHI0123" "A field is unknown."
    WrongType "CHI0124" "A value has the wrong type."
    NotOneOf "CHI0125" "A value is not one of the allowed values."
    InvalidDuration "CHI0126" "A value is not a valid duration."
    OutOfRange "CHI0127" "A value is out of range."
    InvalidValue "CHI0128" "A value cannot be decoded."
    // Names.
    InvalidName "CHI0130" "A name has invalid characters or an invalid length."
    Confusable "CHI0131" "A name can be confused with another one."
    DuplicateName "CHI0132" "A name is used twice."
    // The step graph.
    NoSteps "CHI0140" "The workflow has no steps."
    ManySteps "CHI0141" "The workflow has more steps than recommended."
    TooManySteps "CHI0142" "The workflow exceeds the maximum number of steps."
    TooManyEdges "CHI0143" "The step graph exceeds the maximum number of edges."
    UnknownNeed "CHI0144" "A step needs an unknown step."
    Cycle "CHI0145" "The step graph has a cycle."
    RepeatedNeed "CHI0146" "A step lists the same need twice."
    // Actions.
    UnknownAction "CHI0150" "The action is not in the catalogue."
    InvalidArgument "CHI0151" "An argument does not match the action's schema."
    NoCompensation "CHI0152" "A reversible action has neither a declared inverse nor a compensation."
    NoInverse "CHI0153" "The compensation is `inverse`, but the action declares no inverse."
    IrreversibleTooSoon "CHI0154" "A step that cannot be undone may run before a step that may fail."
    // Expressions.
    InvalidExpression "CHI0160" "An expression is invalid."
    UnknownVariable "CHI0161" "An expression uses an unknown variable."
    UnknownParameter "CHI0162" "An expression uses an undeclared parameter."
    UnknownStep "CHI0163" "An expression refers to an unknown step, or to one that may not have ended before."
    TooManyReads "CHI0164" "A condition exceeds the maximum number of reads."
    TooManyExpressions "CHI0165" "The document exceeds the maximum number or size of expressions."
    TimeInPrecondition "CHI0166" "`within` and `holdFor` are only allowed in post-conditions."
    // Parameters.
    InvalidParameterValue "CHI0170" "A default, allowed or bound value does not match the type or range of its parameter."
    InvalidRange "CHI0171" "The range of a parameter is empty, or its type does not allow a range."
    UnknownBound "CHI0172" "A value is bound to an undeclared parameter."
    // Templates.
    NotAPlaceholder "CHI0180" "The subject of a fact pattern is not a placeholder."
    UnfilledParameter "CHI0181" "A parameter of a template has neither a placeholder of its name nor a default."
    NoPattern "CHI0182" "A template has no fact patterns, so it would match every incident."
    InvalidPattern "CHI0183" "The value of a fact pattern is invalid."
    // Guardrails.
    EmptyRange "CHI0190" "A freeze ends before it starts, or `minReplicas` is above `maxReplicas`."
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
