//! What a spec says: every rule with the place where it stands. Names are not looked up here; that takes both builds.

use std::time::Duration;

use super::continuation::Continue;
use super::expression::Node;
use super::names::{Subject, TypeName, VariableName};
use super::place::{At, Source, Span};

/// All answers of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The file.
    pub source: Source,
    /// What the running program must be.
    pub old: Guard,
    /// What the new program must be.
    pub new: Guard,
    /// `[pair.functions]`, by old name.
    pub functions: Vec<Pairing<VariableName>>,
    /// `[pair.globals]`, by old name.
    pub globals: Vec<Pairing<VariableName>>,
    /// `[pair.types]`, by old name.
    pub types: Vec<Pairing<TypeName>>,
    /// `[fields]`: what fields of new objects take.
    pub fields: Vec<Rule<Subject, FieldValue>>,
    /// `[globals]`: what variables of the new program take.
    pub values: Vec<Rule<VariableName, GlobalValue>>,
    /// `[enums]`, by old enumeration.
    pub enums: Vec<Rule<TypeName, EnumMap>>,
    /// `[memory]`: what the old program's types leave open.
    pub memory: Vec<Rule<Subject, Meaning>>,
    /// `[allocators]`, by old type.
    pub allocators: Vec<Rule<TypeName, Allocator>>,
    /// `[plugins]`, by old type.
    pub plugins: Vec<Rule<TypeName, Plugin>>,
    /// `[keyed-by-address]`: functions of the old program that compute with addresses as with numbers, and the call that puts right what
    /// they made.
    pub keyed: Vec<Rule<VariableName, Call>>,
    /// `[[restart]]`: threads that go on at the entry of a function.
    pub restarts: Vec<Restart>,
    /// `[after-restore] call`: calls in the new program, in order, before it runs on.
    pub calls: Vec<Call>,
    /// `[after-restore] health`.
    pub health: Option<Health>,
    /// `[[continue]]`, in the order of the file.
    pub continues: Vec<Continue>,
    /// `[accept]`.
    pub accept: Accept,
}

/// What a program has to be for the spec to be about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guard {
    /// The name of its file, without directories.
    pub program: Option<At<String>>,
    /// How its build-id begins, in lower-case hexadecimal; eight digits at least.
    pub build_id: Option<At<String>>,
}

/// Something of the old program, and what it is in the new one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairing<N> {
    /// In the old program.
    pub old: At<N>,
    /// In the new program; `None`: nothing.
    pub new: At<Option<N>>,
}

/// What a thing is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule<N, V> {
    /// The thing.
    pub subject: At<N>,
    /// What it is given.
    pub value: At<V>,
}

/// An expression with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// As it was written.
    pub text: String,
    /// What it is.
    pub root: Node,
}

/// What a field of a new object takes.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// A constant or an expression over the old object.
    Expression(Expression),
    /// Another value for each value of an expression.
    Map {
        /// What is mapped.
        of: At<Expression>,
        /// From and to.
        values: Vec<(At<Case>, At<Expression>)>,
        /// For any other value; `None`: an error at the object.
        otherwise: Option<At<Expression>>,
    },
}

/// What a variable of the new program takes.
#[derive(Clone, Debug, PartialEq)]
pub enum GlobalValue {
    /// The old program's value.
    Keep,
    /// The new program's initial value.
    New,
    /// A constant, or an expression over the old variable.
    Expression(Expression),
}

/// A value that a tag may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Case {
    /// A number.
    Number(i128),
    /// An enumerator.
    Name(String),
}

/// How values of an enumeration map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnumMap {
    /// Whether values are sets of bits.
    pub flags: bool,
    /// Old value to new value.
    pub values: Vec<(At<Case>, At<Case>)>,
    /// What any other value without a name becomes.
    pub otherwise: Option<At<Otherwise>>,
}

/// What a value becomes that nothing maps.
#[derive(Clone, Debug, PartialEq)]
pub enum Otherwise {
    /// The same number.
    Keep,
    /// This value.
    Value(Case),
}

/// What memory of the old program holds, where its type does not say it.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Bytes that are carried as they are.
    Opaque,
    /// What a pointer points to, or bytes hold; and how many.
    Holds {
        /// The type; `None`: as the pointer's own type says.
        kind: Option<At<TypeName>>,
        /// The field of that type that a pointer leads to; `None`: its start.
        at: Option<At<Vec<String>>>,
        /// How many; `None`: one.
        count: Option<At<Expression>>,
    },
    /// What a pointer points to, by a tag.
    ByTag {
        /// The tag: a field of the old object.
        by: At<Expression>,
        /// By value of the tag; `None` is opaque.
        types: Vec<(At<Case>, At<Option<TypeName>>)>,
    },
    /// Which member of a union is in use, by a tag.
    Union {
        /// The tag: a field of the old object.
        by: At<Expression>,
        /// By value of the tag.
        members: Vec<(At<Case>, At<Member>)>,
        /// For any other value of the tag.
        otherwise: Option<At<Member>>,
    },
}

/// A member of a union.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// In the old union; `None`: nothing is in use.
    pub old: Option<At<String>>,
    /// In the new union; `None`: the one of the same name.
    pub new: Option<At<String>>,
}

/// Functions of the new program that make and free objects of a type.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocator {
    /// `void *f(size_t size)`.
    pub allocate: At<VariableName>,
    /// `void f(void *object)`.
    pub free: Option<At<VariableName>>,
}

/// A program that rewrites objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// The program and its arguments; never empty.
    pub command: Vec<At<String>>,
    /// How long it may take.
    pub within: Option<At<Duration>>,
}

/// A call of a function of the new program.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub function: At<VariableName>,
    /// What it gets; six at most.
    pub arguments: Vec<At<Argument>>,
    /// The call as it was written.
    pub text: String,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// The address of a variable or function of the new program.
    Address(VariableName),
    /// A constant: numbers and enumerators.
    Value(Expression),
    /// A string.
    Text(String),
}

/// Threads that go on at the entry of a function, with the old state in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Restart {
    /// The function of the new program.
    pub function: At<VariableName>,
    /// The function of the old program whose frame gives way, with all that it called; `None`: the partner of `function`.
    pub instead_of: Option<At<VariableName>>,
    /// The function of the old program that the threads began with; `None`: any.
    pub thread: Option<At<VariableName>>,
    /// Functions of the C library that a thread must be waiting in; `None`: any whose call can be given up.
    pub waits_in: Option<Vec<At<String>>>,
    /// What the function gets; `None`: what its partner got.
    pub arguments: Option<Vec<At<Argument>>>,
    /// Where the table stands.
    pub span: Span,
}

/// A command that says whether the new program works.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The program and its arguments; never empty.
    pub command: Vec<At<String>>,
    /// How long it may take.
    pub within: At<Duration>,
}

/// What the user takes upon himself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accept {
    /// Constructors of the new program that need not run.
    pub constructors: Vec<At<VariableName>>,
    /// Old types of which no object is in use.
    pub unused_types: Vec<At<TypeName>>,
    /// Fields of the new program whose value may be cut to what fits.
    pub may_lose: Vec<At<Subject>>,
    /// Blocks of the heap that evidence alone clears.
    pub cleared_blocks: Option<At<bool>>,
}

impl Spec {
    /// A spec without an answer.
    pub fn empty(source: Source) -> Self {
        Self {
            source,
            old: Guard::default(),
            new: Guard::default(),
            functions: Vec::new(),
            globals: Vec::new(),
            types: Vec::new(),
            fields: Vec::new(),
            values: Vec::new(),
            enums: Vec::new(),
            memory: Vec::new(),
            allocators: Vec::new(),
            plugins: Vec::new(),
            keyed: Vec::new(),
            restarts: Vec::new(),
            calls: Vec::new(),
            health: None,
            continues: Vec::new(),
            accept: Accept::default(),
        }
    }
}
