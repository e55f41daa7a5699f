-- Settings that could match nothing are refused when they are made, with what is wrong.
ALTER SYSTEM SET rtd.allowed_origins = 'example.com';
ALTER SYSTEM SET rtd.allowed_origins = 'https://app.example.com, localhost:3000';
ALTER SYSTEM SET rtd.allowed_origins = 'https://app.example.com/login';
ALTER SYSTEM SET rtd.allowed_origins = 'https://app.example.com https://www.example.com';
ALTER SYSTEM SET rtd.allowed_origins = 'https://*';
ALTER SYSTEM SET rtd.allowed_origins = 'https://app.*.example.com';
ALTER SYSTEM SET rtd.allowed_origins = 'https://app*.example.com';
ALTER SYSTEM SET rtd.allowed_origins = '*.example.com';
ALTER SYSTEM SET rtd.allowed_origins = '*://example.com';
ALTER SYSTEM SET rtd.allowed_origins = 'wss://example.com';
ALTER SYSTEM SET rtd.allowed_origins = 'https://user@example.com';
ALTER SYSTEM SET rtd.allowed_origins = 'https://example.com:https';
ALTER SYSTEM SET rtd.allowed_origins = 'https://example.com:70000';
ALTER SYSTEM SET rtd.allowed_origins = 'https://bücher.example';
ALTER SYSTEM SET rtd.allowed_origins = 'https://10.0.0';
ALTER SYSTEM SET rtd.allowed_origins = 'https://*.10.0.0.1';
ALTER SYSTEM SET rtd.allowed_origins = 'http://[::1';
ALTER SYSTEM SET rtd.allowed_origins = 'https://';

ALTER SYSTEM SET rtd.listen_addresses = 'localhost:8787';
ALTER SYSTEM SET rtd.listen_addresses = 'http://localhost';
ALTER SYSTEM SET rtd.listen_addresses = 'localhost, [::1]';
ALTER SYSTEM SET rtd.listen_addresses = 'localhost 127.0.0.1';
ALTER SYSTEM SET rtd.listen_addresses = '';

-- What browsers send, however it is written.
ALTER SYSTEM SET rtd.allowed_origins = '*';
ALTER SYSTEM SET rtd.allowed_origins = 'https://*.example.com, https://EXAMPLE.com/ ,http://localhost:*,https://[::1]:8443';
ALTER SYSTEM SET rtd.allowed_origins = 'null, file://, chrome-extension://abcdefgh, https://xn--bcher-kva.example:443, http://10.0.0.1';
ALTER SYSTEM RESET rtd.allowed_origins;
ALTER SYSTEM SET rtd.listen_addresses = 'localhost, 192.0.2.1, ::1, fe80::1%eth0, my_host.example, *';
ALTER SYSTEM RESET rtd.listen_addresses;
