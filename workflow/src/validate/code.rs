//! The codes of findings: stable across versions, each in one row of one table.

/// Makes the enum, its text form and its documentation out of one table.
macro_rules! codes {
    ($($name:ident $code:literal $summary:literal)*) => {
        /// What kind of finding this is. A code never changes its meaning; new ones are added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $summary] $name,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it is written: `CHI0123`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it says, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => $summary,)* }
            }
        }
    };
}

codes! {
    // The text.
    NotUtf8 "CHI0101" "The document is not UTF-8."
    TooLarge "CHI0102" "The document has more bytes than are read."
    Syntax "CHI0103" "The document is neither YAML nor JSON."
    Empty "CHI0104" "The document is empty."
    ManyDocuments "CHI0105" "More than one document stands in the file."
    TooDeep "CHI0106" "The document nests deeper than is read."
    TooManyNodes "CHI0107" "The document has more nodes than are read, aliases expanded."
    TooManyAliases "CHI0108" "The document has more anchors or aliases than are read."
    BadAlias "CHI0109" "An alias names an anchor that is not there, or that holds the alias itself."
    Tag "CHI0110" "A YAML tag asks for a type."
    MergeKey "CHI0111" "A YAML merge key `<<` copies fields."
    DuplicateKey "CHI0112" "A key stands twice in one object."
    KeyNotText "CHI0113" "A key is no text."
    ScalarTooLong "CHI0114" "A value has more bytes than are read."
    Ambiguous "CHI0115" "A value is read differently by different YAML readers, or is a number that is not finite."
    NumberTooLarge "CHI0116" "A whole number loses digits where it is read as a double."
    // The shape.
    ApiVersion "CHI0120" "The apiVersion is not one that is read."
    Kind "CHI0121" "The kind is not the one expected here."
    MissingField "CHI0122" "A field is missing."
    UnknownField "CHI0123" "A field is not known here."
    WrongType "CHI0124" "A value has the wrong type."
    NotOneOf "CHI0125" "A value is not one of those that are allowed."
    BadDuration "CHI0126" "A value is not a duration."
    OutOfRange "CHI0127" "A value lies outside its range."
    Unreadable "CHI0128" "A value cannot be read as what stands here."
    // Names.
    BadName "CHI0130" "A name has characters or a length that names may not have."
    Confusable "CHI0131" "A name looks like another one."
    DuplicateName "CHI0132" "A name is taken twice."
    // The graph of steps.
    NoSteps "CHI0140" "The workflow has no steps."
    ManySteps "CHI0141" "The workflow has more steps than are advisable."
    TooManySteps "CHI0142" "The workflow has more steps than are read."
    TooManyEdges "CHI0143" "The steps have more edges between them than are read."
    UnknownNeed "CHI0144" "A step needs one that is not there."
    Cycle "CHI0145" "Steps need one another in a circle."
    RepeatedNeed "CHI0146" "A step names the same need twice."
    // Actions.
    UnknownAction "CHI0150" "The catalogue has no such action."
    BadArgument "CHI0151" "An argument is not as the action declares it."
    NoCompensation "CHI0152" "A reversible action has neither a declared inverse nor a compensation."
    NoInverse "CHI0153" "The compensation `inverse` is asked of an action that declares none."
    IrreversibleTooSoon "CHI0154" "A step that cannot be undone comes before one that may fail."
    // Expressions.
    BadExpression "CHI0160" "An expression is refused."
    UnknownVariable "CHI0161" "An expression names a variable that is not there."
    UnknownParameter "CHI0162" "An expression names a parameter that is not declared."
    UnknownStep "CHI0163" "An expression names a step that is not there, or that need not have ended before."
    TooManyReads "CHI0164" "A condition reads more than is allowed."
    TooManyExpressions "CHI0165" "The document has more expressions than are read."
    NoTimeHere "CHI0166" "Only a post-condition has `within` and `holdFor`."
    // Parameters.
    BadDefault "CHI0170" "A parameter's default, allowed or bound value is not of its type or range."
    BadRange "CHI0171" "A parameter's range is empty, or is asked of a type that has none."
    UnknownBound "CHI0172" "A value is bound to a parameter that is not declared."
    // Templates.
    NotAHole "CHI0180" "The subject of a fact pattern is no hole."
    Unfilled "CHI0181" "A template's parameter has neither a hole of its name nor a default."
    NoPattern "CHI0182" "A template matches everything, for it has no fact patterns."
    BadPattern "CHI0183" "The value of a fact pattern is no pattern."
    // Guardrails.
    EmptySpan "CHI0190" "A freeze, or the range of replicas, ends before it begins."
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
