//! LZNT1, how NTFS compresses: blocks of 4 KiB, each as it is or as literal bytes and references to earlier ones.

/// What a block becomes.
const BLOCK: usize = 4096;

/// Unpacks up to `size` bytes into `out`, which is emptied first; none if what is packed makes no sense. Missing bytes are zeros.
pub(super) fn unpack(mut packed: &[u8], size: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    while out.len() < size && packed.len() >= 2 {
        let header = u16::from_le_bytes([packed[0], packed[1]]);
        if header == 0 {
            break;
        }
        let length = usize::from(header & 0xfff) + 1;
        let block = packed.get(2..2 + length)?;
        let begin = out.len();
        match header & 0x8000 {
            0 => out.extend_from_slice(block),
            _ => unpack_block(block, begin, out)?,
        }
        if out.len() > begin + BLOCK {
            return None;
        }
        out.resize(begin + BLOCK, 0);
        packed = &packed[2 + length..];
    }
    out.resize(size, 0);
    Some(())
}

fn unpack_block(mut block: &[u8], begin: usize, out: &mut Vec<u8>) -> Option<()> {
    while let Some((&flags, rest)) = block.split_first() {
        block = rest;
        for bit in 0..8 {
            if block.is_empty() {
                return Some(());
            }
            if flags & 1 << bit == 0 {
                out.push(block[0]);
                block = &block[1..];
            } else {
                let pair = u16::from_le_bytes([block[0], *block.get(1)?]);
                copy_back(pair, begin, out)?;
                block = &block[2..];
            }
            if out.len() > begin + BLOCK {
                return None;
            }
        }
    }
    Some(())
}

/// The further into a block, the more bits tell how far back to go, and the fewer how much to copy.
fn copy_back(pair: u16, begin: usize, out: &mut Vec<u8>) -> Option<()> {
    let done = out.len() - begin;
    let distance_bits = (usize::BITS - done.checked_sub(1)?.leading_zeros()).max(4);
    let length_bits = 16_u32.checked_sub(distance_bits)?;
    let length = usize::from(pair & ((1 << length_bits) - 1)) + 3;
    let distance = usize::from(pair >> length_bits) + 1;
    let from = out.len().checked_sub(distance).filter(|from| *from >= begin)?;
    // What is copied may reach into itself: that is how runs are packed.
    (0..length).for_each(|at| out.push(out[from + at]));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let packed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01, 0xa0, 0x45,
            0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4,
            0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00,
            0x04, 0x01, 0x18, 0x90, 0x00,
        ];
        let text = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G \
                    F# E D E A F# F# G A A G F# E D D E F# E D D\0";
        let mut out = Vec::new();
        unpack(&packed, 4096, &mut out).unwrap();
        assert_eq!(&out[..text.len()], text.as_bytes());
        assert!(out[text.len()..].iter().all(|byte| *byte == 0) && out.len() == 4096);
    }

    #[test]
    fn rubbish_is_refused() {
        let mut out = Vec::new();
        // A reference to before the beginning, a length beyond the end, a block that grows too long.
        assert_eq!(unpack(&[0x02, 0xb0, 0x01, 0xff, 0xff], 4096, &mut out), None);
        assert_eq!(unpack(&[0xff, 0xb0, 0x00], 4096, &mut out), None);
        assert_eq!(unpack(&[0x06, 0xb0, 0x06, b'a', 0xff, 0x0f, 0xff, 0x0f, 0xff, 0x0f], 8192, &mut out), None);
    }
}
