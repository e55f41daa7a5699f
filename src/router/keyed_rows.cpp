#include "router/keyed_rows.h"

#include <utility>

namespace rtd {

namespace {

void append_element(std::string &list, const std::string &element) {
    if (!list.empty())
        list += ',';
    list += element;
}

} // namespace

class KeyedRows::Delta {
  public:
    void upsert(const std::string &row) { append_element(upserts_, row); }
    void remove(const std::string &key) { append_element(removals_, key); }

    std::optional<std::string> data() const {
        if (upserts_.empty() && removals_.empty())
            return std::nullopt;
        return "{\"upsert\":[" + upserts_ + "],\"remove\":[" + removals_ + "]}";
    }

  private:
    std::string upserts_;
    std::string removals_;
};

void KeyedRows::assign(const std::vector<KeyedRow> &rows) {
    rows_.clear();
    rows_.reserve(rows.size());
    row_bytes_ = 0;
    for (const KeyedRow &row : rows) {
        row_bytes_ += row.row.size();
        rows_.emplace(row.key, Row{row.row, 0});
    }
}

std::optional<std::string> KeyedRows::apply_all(const std::vector<KeyedRow> &rows) {
    Delta delta;
    pass_++;
    for (const KeyedRow &row : rows)
        upsert(row, delta);
    for (auto it = rows_.begin(); it != rows_.end();) {
        auto found = it++;
        if (found->second.seen != pass_)
            remove(found, delta);
    }
    return delta.data();
}

std::optional<std::string> KeyedRows::apply(const std::vector<KeyedRow> &rows) {
    Delta delta;
    for (const KeyedRow &row : rows) {
        if (!row.row.empty())
            upsert(row, delta);
        else if (auto found = rows_.find(row.key); found != rows_.end())
            remove(found, delta);
    }
    return delta.data();
}

void KeyedRows::upsert(const KeyedRow &row, Delta &delta) {
    Row &held = rows_[row.key];
    held.seen = pass_;
    if (held.text == row.row)
        return;
    delta.upsert(row.row);
    row_bytes_ += row.row.size() - held.text.size();
    held.text = row.row;
}

void KeyedRows::remove(std::unordered_map<std::string, Row>::iterator found, Delta &delta) {
    delta.remove(found->first);
    row_bytes_ -= found->second.text.size();
    rows_.erase(found);
}

size_t KeyedRows::snapshot_bytes() const {
    return row_bytes_ + (rows_.empty() ? 2 : rows_.size() + 1); // brackets and commas
}

std::string KeyedRows::snapshot() const {
    std::string list;
    list.reserve(snapshot_bytes());
    list += '[';
    for (const auto &[key, row] : rows_) {
        if (list.size() > 1)
            list += ',';
        list += row.text;
    }
    list += ']';
    return list;
}

} // namespace rtd
