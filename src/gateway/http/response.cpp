#include "gateway/http/response.h"

#include "core/json_text.h"
#include "gateway/http/http_request.h"

#include <openssl/evp.h>

namespace rtd::net {

namespace {

const char *reason_phrase(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    }
    return "Error";
}

int status_of(CloseCode code) {
    switch (code) {
    case CloseCode::bad_request:
    case CloseCode::protocol_error:
    case CloseCode::not_text:
    case CloseCode::bad_utf8:
    case CloseCode::too_big:
        return 400;
    case CloseCode::unauthorized:
        return 401;
    case CloseCode::forbidden:
        return 403;
    case CloseCode::unknown_topic:
    case CloseCode::topic_dropped:
        return 404;
    case CloseCode::internal_error:
        return 500;
    case CloseCode::going_away:
    case CloseCode::unavailable:
    case CloseCode::too_slow:
    case CloseCode::topic_changed:
    case CloseCode::too_many:
        return 503;
    }
    return 500;
}

} // namespace

// SHA-1 because RFC 6455 says so; it proves to the client that its request was understood, and
// protects nothing.
std::string upgrade_head(const Upgrade &upgrade) {
    constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    static EVP_MD *const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr); // a slow search, so once
    std::string text(upgrade.key);
    text += kGuid;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes = 0;
    EVP_Digest(text.data(), text.size(), digest, &digest_bytes, sha1, nullptr);
    unsigned char accept[2 * EVP_MAX_MD_SIZE];
    EVP_EncodeBlock(accept, digest, static_cast<int>(digest_bytes));
    std::string head("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    head += reinterpret_cast<const char *>(accept);
    if (!upgrade.protocol.empty())
        head.append("\r\nSec-WebSocket-Protocol: ").append(upgrade.protocol);
    if (!upgrade.extensions.empty())
        head.append("\r\nSec-WebSocket-Extensions: ").append(upgrade.extensions);
    return head.append(kHeadEnd);
}

std::string render_head(const Answer &answer, size_t body_bytes) {
    std::string text =
        "HTTP/1.1 " + std::to_string(answer.status) + " " + reason_phrase(answer.status) + "\r\n";
    bool has_body = answer.status != 204 && answer.status != 304;
    if (has_body)
        text += "Content-Type: " + answer.content_type +
                "\r\nContent-Length: " + std::to_string(body_bytes) +
                "\r\nX-Content-Type-Options: nosniff\r\n";
    return text + answer.headers + "Connection: close\r\n\r\n";
}

std::string render(const Answer &answer, bool with_body) {
    std::string text = render_head(answer, answer.body.size());
    if (with_body)
        text += answer.body;
    return text;
}

Answer error_answer(int status, std::optional<RefusalReason> reason, std::string_view sentence,
                    std::string headers) {
    return {status,
            "application/json",
            "{\"error\":" + json_quote(sentence) + "}\n",
            headers.append(kNoStore),
            std::string(sentence),
            reason};
}

Answer refusal_answer(CloseCode code, std::string_view sentence, std::string headers) {
    int status = status_of(code);
    if (status == 503)
        headers += kComeBack;
    Answer answer = error_answer(status, std::nullopt, sentence, std::move(headers));
    answer.body = "{\"error\":" + json_quote(sentence) +
                  ",\"code\":" + std::to_string(static_cast<uint16_t>(code)) + "}\n";
    return answer;
}

Answer readiness_answer(bool ready, std::string_view detail) {
    Answer answer{ready ? 200 : 503, "application/json"};
    answer.body = std::string("{\"ready\":") + (ready ? "true" : "false") +
                  ",\"detail\":" + json_quote(detail) + "}\n";
    answer.headers = kNoStore;
    return answer;
}

} // namespace rtd::net
