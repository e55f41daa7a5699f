// The fuzz targets over their corpora: every input that once mattered.
#include "../fuzz/fuzz.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

namespace rtd {
namespace {

TEST(Corpus, IsReplayed) {
    ASSERT_FALSE(fuzz::targets().empty());
    for (const auto &[name, target] : fuzz::targets()) {
        size_t inputs = 0;
        for (const auto &file : std::filesystem::directory_iterator("test/fuzz/corpus/" + name)) {
            SCOPED_TRACE(file.path());
            std::ifstream in(file.path(), std::ios::binary);
            std::ostringstream bytes;
            bytes << in.rdbuf();
            ASSERT_TRUE(in.good() || in.eof());
            target(bytes.str());
            inputs++;
        }
        EXPECT_GT(inputs, 0u) << name << " has no corpus";
    }
}

} // namespace
} // namespace rtd
