// KeyedRows: the rows that the subscribers of a keyed instance have, by key. Compares what a query
// read with them, and says what changed as the data of a message.
//
// Rows are compared as text: the query worker writes jsonb, whose text is canonical. They keep no
// order, as the rows of a table do not.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtd {

// What a query found for a key.
struct KeyedRow {
    std::string key; // a JSON object of the key columns, canonical
    std::string row; // a JSON object; empty: there is no such row
};

class KeyedRows {
  public:
    // All rows there are, each key once. Nobody has been told of any before.
    void assign(const std::vector<KeyedRow> &rows);
    // The same, as a change of what clients have: {"upsert":[rows],"remove":[keys]}, or nullopt if
    // nothing differs.
    std::optional<std::string> apply_all(const std::vector<KeyedRow> &rows);
    // What there is of some keys.
    std::optional<std::string> apply(const std::vector<KeyedRow> &rows);

    // All rows, as a JSON array of `snapshot_bytes()` bytes.
    std::string snapshot() const;
    size_t snapshot_bytes() const;
    size_t size() const { return rows_.size(); }

  private:
    struct Row {
        std::string text;
        uint64_t seen = 0; // by which apply_all()
    };
    class Delta;

    void upsert(const KeyedRow &row, Delta &delta);
    void remove(std::unordered_map<std::string, Row>::iterator found, Delta &delta);

    std::unordered_map<std::string, Row> rows_;
    size_t row_bytes_ = 0;
    uint64_t pass_ = 0;
};

} // namespace rtd
