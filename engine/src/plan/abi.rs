//! Numbers of the ELF and x86-64 ABIs in the widths that the planner compares them in.

use object::elf;

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $width:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $width = $value as $width;)*
    };
}

numbers! {
    /// Direct address of a symbol.
    R_64: u32 = elf::R_X86_64_64.0;
    /// Copy of a library's object.
    R_COPY: u32 = elf::R_X86_64_COPY.0;
    /// GOT entry of a symbol.
    R_GLOB_DAT: u32 = elf::R_X86_64_GLOB_DAT.0;
    /// PLT slot of a symbol.
    R_JUMP_SLOT: u32 = elf::R_X86_64_JUMP_SLOT.0;
    /// Base plus addend.
    R_RELATIVE: u32 = elf::R_X86_64_RELATIVE.0;
    /// TLS module number.
    R_DTPMOD64: u32 = elf::R_X86_64_DTPMOD64.0;
    /// Offset in a module's TLS block.
    R_DTPOFF64: u32 = elf::R_X86_64_DTPOFF64.0;
    /// Offset from the thread pointer.
    R_TPOFF64: u32 = elf::R_X86_64_TPOFF64.0;
    /// Result of a selector.
    R_IRELATIVE: u32 = elf::R_X86_64_IRELATIVE.0;
    /// No relocation.
    R_NONE: u32 = elf::R_X86_64_NONE.0;

    /// Indirect function.
    STT_GNU_IFUNC: u8 = elf::STT_GNU_IFUNC.0;
    /// Thread-local variable.
    STT_TLS: u8 = elf::STT_TLS.0;
    /// Function.
    STT_FUNC: u8 = elf::STT_FUNC.0;
    /// Variable.
    STT_OBJECT: u8 = elf::STT_OBJECT.0;
    /// Label.
    STT_NOTYPE: u8 = elf::STT_NOTYPE.0;
    /// Weak symbol.
    STB_WEAK: u8 = elf::STB_WEAK.0;
    /// Local symbol.
    STB_LOCAL: u8 = elf::STB_LOCAL.0;

    /// Loadable segment.
    PT_LOAD: u32 = elf::PT_LOAD.0;
    /// Executable segment.
    PF_X: u32 = elf::PF_X.0;
    /// Writable segment.
    PF_W: u32 = elf::PF_W.0;
    /// Readable segment.
    PF_R: u32 = elf::PF_R.0;

    /// Address of the PLT's GOT.
    DT_PLTGOT: u64 = elf::DT_PLTGOT.0;
    /// SysV hash table.
    DT_HASH: u64 = elf::DT_HASH.0;
    /// String table.
    DT_STRTAB: u64 = elf::DT_STRTAB.0;
    /// Symbol table.
    DT_SYMTAB: u64 = elf::DT_SYMTAB.0;
    /// Relocations.
    DT_RELA: u64 = elf::DT_RELA.0;
    /// PLT relocations.
    DT_JMPREL: u64 = elf::DT_JMPREL.0;
    /// Debugger's record.
    DT_DEBUG: u64 = elf::DT_DEBUG.0;
    /// Relocations in text.
    DT_TEXTREL: u64 = elf::DT_TEXTREL.0;
    /// Bind before start.
    DT_BIND_NOW: u64 = elf::DT_BIND_NOW.0;
    /// Library search path.
    DT_RPATH: u64 = elf::DT_RPATH.0;
    /// Library search path of today.
    DT_RUNPATH: u64 = elf::DT_RUNPATH.0;
    /// Symbolic binding.
    DT_SYMBOLIC: u64 = elf::DT_SYMBOLIC.0;
    /// Flags.
    DT_FLAGS: u64 = elf::DT_FLAGS.0;
    /// More flags.
    DT_FLAGS_1: u64 = elf::DT_FLAGS_1.0;
    /// Compact relative relocations.
    DT_RELR: u64 = elf::DT_RELR.0;
    /// Symbol versions.
    DT_VERSYM: u64 = elf::DT_VERSYM.0;
    /// Versions needed.
    DT_VERNEED: u64 = elf::DT_VERNEED.0;
    /// GNU hash table.
    DT_GNU_HASH: u64 = elf::DT_GNU_HASH.0;
    /// Initialisers.
    DT_INIT_ARRAY: u64 = elf::DT_INIT_ARRAY.0;
    /// Their length in bytes.
    DT_INIT_ARRAYSZ: u64 = elf::DT_INIT_ARRAYSZ.0;
    /// `DT_FLAGS`: bind now.
    DF_BIND_NOW: u64 = elf::DF_BIND_NOW.0;
    /// `DT_FLAGS`: text relocations.
    DF_TEXTREL: u64 = elf::DF_TEXTREL.0;
    /// `DT_FLAGS`: symbolic binding.
    DF_SYMBOLIC: u64 = elf::DF_SYMBOLIC.0;
    /// `DT_FLAGS_1`: bind now.
    DF_1_NOW: u64 = elf::DF_1_NOW.0;
    /// `DT_FLAGS_1`: a position-independent program.
    DF_1_PIE: u64 = elf::DF_1_PIE.0;

    /// Writable section.
    SHF_WRITE: u64 = elf::SHF_WRITE.0;
    /// Allocated section.
    SHF_ALLOC: u64 = elf::SHF_ALLOC.0;
    /// Code section.
    SHF_EXECINSTR: u64 = elf::SHF_EXECINSTR.0;
    /// Section of NUL-terminated strings.
    SHF_STRINGS: u64 = elf::SHF_STRINGS.0;
    /// Thread-local section.
    SHF_TLS: u64 = elf::SHF_TLS.0;

    /// Program headers.
    AT_PHDR: u64 = libc::AT_PHDR;
    /// Their number.
    AT_PHNUM: u64 = libc::AT_PHNUM;
    /// Entry point.
    AT_ENTRY: u64 = libc::AT_ENTRY;
}
