// How large the text of a value can be, told from its stored size: a value that is too large to be
// sent is never read, and one that cannot fail to become text needs no precaution. Runs in
// backends, inside call().
#pragma once
#include "core/fence.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup.h"
#include "access/tupdesc.h"
}

namespace rtd::pg {

struct TextBound {
    // Only the server's own code makes the text, as text or as JSON: it can fail by its size alone.
    bool is_trusted;
    // The text is JSON that users wrote, which jsonb may refuse.
    bool may_refuse_jsonb;
    // The text has at least as many bytes as the value; otherwise at least a sixteenth of them.
    bool is_verbatim;
    // Bytes of text for one byte of the value, at most, if it is trusted.
    uint32 most_growth;
};

TextBound text_bound(Oid type);

// Bytes of an attribute's value once it is read and decompressed, without doing either. 0 for NULL.
size_t stored_bytes(HeapTuple row, AttrNumber attribute, TupleDesc description);
// Of a value that is not NULL.
size_t stored_bytes(Datum value, int16 length);

inline size_t least_text_bytes(const TextBound &bound, size_t stored) {
    return !bound.is_trusted ? 0 : bound.is_verbatim ? stored : stored / 16;
}

// Text up to this size is made without failing: well below the 1 GB that the server allows.
inline constexpr size_t kSureBytes = size_t{256} << 20;

inline bool is_sure(const TextBound &bound, size_t stored) {
    return bound.is_trusted && stored <= kSureBytes / bound.most_growth;
}

// True if the values differ, as far as that can be told at a bearable price: two large values that
// were stored apart count as different without being read.
bool value_changed(Datum before, Datum after, Form_pg_attribute attribute);

} // namespace rtd::pg
