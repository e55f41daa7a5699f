// Certificates for tests, made on the spot: PEM texts of a new key and of a certificate for it.
#pragma once
#include <gtest/gtest.h>
#include <memory>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string>
#include <vector>

namespace rtd::test {

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

inline Key make_key() {
    return {EVP_EC_gen("P-256"), EVP_PKEY_free};
}
inline Key make_rsa_key(unsigned bits) {
    return {EVP_RSA_gen(bits), EVP_PKEY_free};
}

// For `key`, named `name`, valid for `seconds` from now; signed by `issuer`, or by itself.
inline Certificate make_certificate(const Key &key, const char *name, long seconds = 3600,
                                    const Key &issuer_key = {}, const Certificate &issuer = {}) {
    static long serial = 0;
    Certificate certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), seconds);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME *subject = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char *>(name), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), issuer ? X509_get_subject_name(issuer.get()) : subject);
    if (!issuer) { // then it may sign others
        X509_EXTENSION *authority =
            X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(certificate.get(), authority, -1);
        X509_EXTENSION_free(authority);
    }
    EXPECT_GT(X509_sign(certificate.get(), issuer_key ? issuer_key.get() : key.get(), EVP_sha256()),
              0);
    return certificate;
}

template <class Write> std::string as_pem(Write write) {
    std::unique_ptr<BIO, int (*)(BIO *)> text(BIO_new(BIO_s_mem()), BIO_free);
    EXPECT_EQ(write(text.get()), 1);
    char *bytes = nullptr;
    long size = BIO_get_mem_data(text.get(), &bytes);
    return {bytes, static_cast<size_t>(size)};
}
inline std::string pem(const Certificate &certificate) {
    return as_pem([&](BIO *out) { return PEM_write_bio_X509(out, certificate.get()); });
}
inline std::string pem(const Key &key) {
    return as_pem([&](BIO *out) {
        return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
}
inline std::string pem_with_passphrase(const Key &key, const std::string &passphrase) {
    return as_pem([&](BIO *out) {
        return PEM_write_bio_PKCS8PrivateKey(out, key.get(), EVP_aes_128_cbc(), passphrase.data(),
                                             static_cast<int>(passphrase.size()), nullptr, nullptr);
    });
}

} // namespace rtd::test
