//! What has no data has none, whatever size it states, and where programs disagree it is refused.

use std::error::Error;

use layergraph_tar::{Kind, TarError};
use layergraph_tests::require;

use crate::support::craft::{END, GNU, Header, MAGIC, USTAR, V7, file, members, names, pax};
use crate::support::programs::Unpacker;

/// Links of both kinds, devices, a directory and a pipe.
const WITHOUT_DATA: &[u8] = b"123456";
/// Those of them whose size in the header block all readers but GNU tar pass over.
const SIZE_IGNORED: &[u8] = b"23456";

/// An archive of a file, a member of some type that states a size, and a file that follows at once.
fn stating(type_byte: u8, size: u64, magic: &[u8], before: &[u8]) -> Vec<u8> {
    let member = Header::new(b"stating", type_byte).link(b"file").size(size);
    let parts = [
        file(b"file", b"hello"),
        before.to_vec(),
        member.with(MAGIC, magic).block(),
        file(b"after", &b"a".repeat(512)),
        END.to_vec(),
    ];
    parts.concat()
}

#[test]
fn a_size_in_the_header_block_of_what_has_no_data_counts_for_nothing() -> Result<(), TarError> {
    for type_byte in SIZE_IGNORED {
        for magic in [V7, USTAR, GNU] {
            for size in [1, 5, 512, 1024, 1 << 30] {
                let archive = stating(*type_byte, size, magic, b"");
                let members = members(&archive)?;
                assert_eq!(members.len(), 3);
                assert_eq!((members[1].size, members[1].stored_size), (0, 0));
                assert_eq!(members[2].path, b"after");
            }
        }
    }
    Ok(())
}

#[test]
fn a_hard_link_that_states_a_size_is_refused() -> Result<(), TarError> {
    for magic in [V7, USTAR, GNU] {
        for size in [1, 512, 1024] {
            let archive = stating(b'1', size, magic, b"");
            assert!(matches!(names(&archive), Err(TarError::Header { .. })));
        }
        let archive = stating(b'1', 0, magic, b"");
        assert_eq!(names(&archive)?, ["file", "stating", "after"]);
    }
    Ok(())
}

#[test]
fn programs_disagree_on_data_after_a_hard_link_in_a_pax_archive() -> Result<(), Box<dyn Error>> {
    require!(program "tar", "bsdtar", "python3");
    let archive = stating(b'1', 512, USTAR, &pax(&[("mtime", b"1.5")]));
    for unpacker in [Unpacker::GnuTar, Unpacker::PythonTarfile] {
        assert_eq!(
            unpacker.list(&archive)?,
            ["file", "stating", "after"],
            "{unpacker:?}"
        );
    }
    assert_ne!(
        Unpacker::BsdTar.list(&archive)?,
        ["file", "stating", "after"]
    );
    Ok(())
}

#[test]
fn r20_a_pax_size_of_what_has_no_data_is_refused() -> Result<(), TarError> {
    for type_byte in WITHOUT_DATA {
        for in_header in [0, 512] {
            let archive = stating(*type_byte, in_header, USTAR, &pax(&[("size", b"512")]));
            let refused = names(&archive);
            assert!(matches!(refused, Err(TarError::Header { .. })));
            let archive = stating(*type_byte, in_header, USTAR, &pax(&[("size", b"0")]));
            assert_eq!(names(&archive)?, ["file", "stating", "after"]);
        }
    }
    Ok(())
}

#[test]
fn programs_disagree_on_data_after_a_link_with_a_pax_size() -> Result<(), Box<dyn Error>> {
    require!(program "tar", "python3");
    let archive = stating(b'1', 0, USTAR, &pax(&[("size", b"1024")]));
    assert_eq!(
        Unpacker::PythonTarfile.list(&archive)?,
        ["file", "stating", "after"]
    );
    assert_eq!(Unpacker::GnuTar.list(&archive)?, ["file", "stating"]);
    Ok(())
}

#[test]
fn a_directory_by_its_name_alone_has_no_size() -> Result<(), TarError> {
    for type_byte in [b'0', 0, b'7', b'S'] {
        let header = Header::new(b"d/", type_byte).with(MAGIC, GNU);
        let empty = [header.clone().block(), END.to_vec()].concat();
        let members = members(&empty)?;
        assert_eq!(members[0].kind, Kind::Directory, "{type_byte}");
        let with_data = [header.data(&file(b"hidden", b"")), END.to_vec()].concat();
        assert!(names(&with_data).is_err(), "{type_byte}");
    }
    Ok(())
}
