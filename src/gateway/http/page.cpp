#include "gateway/http/page.h"

#include <openssl/evp.h>

// The path is as seen from the top of the source tree, where make runs.
__asm__(".pushsection .rodata\n"
        "rtd_page_begin:\n"
        ".incbin \"src/gateway/http/page.html\"\n"
        "rtd_page_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern "C" {
extern const char rtd_page_begin[] __attribute__((visibility("hidden")));
extern const char rtd_page_end[] __attribute__((visibility("hidden")));
}

namespace rtd::net {

namespace {

std::string_view between(std::string_view text, std::string_view begin, std::string_view end) {
    size_t from = text.find(begin);
    if (from == std::string_view::npos)
        return {};
    from += begin.size();
    return text.substr(from, text.find(end, from) - from);
}

// As a content security policy names an inline script or style: by the hash of its text.
std::string hash_source(std::string_view text) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes = 0;
    EVP_Digest(text.data(), text.size(), digest, &digest_bytes, EVP_sha256(), nullptr);
    unsigned char encoded[2 * EVP_MAX_MD_SIZE];
    int encoded_bytes = EVP_EncodeBlock(encoded, digest, static_cast<int>(digest_bytes));
    return "'sha256-" + std::string(encoded, encoded + encoded_bytes) + "'";
}

Page make_page() {
    std::string_view html(rtd_page_begin, static_cast<size_t>(rtd_page_end - rtd_page_begin));
    std::string policy = "default-src 'none'; script-src " +
                         hash_source(between(html, "<script>", "</script>")) + "; style-src " +
                         hash_source(between(html, "<style>", "</style>")) +
                         "; connect-src 'self'; img-src data:; base-uri 'none'; "
                         "form-action 'none'; frame-ancestors 'none'";
    return {html, "Content-Security-Policy: " + policy +
                      "\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n"
                      "Cache-Control: no-cache\r\n"};
}

} // namespace

const Page &page() {
    static const Page page = make_page();
    return page;
}

} // namespace rtd::net
