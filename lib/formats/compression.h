/* How the bytes of a layer are compressed. */
#ifndef QN_FORMATS_COMPRESSION_H
#define QN_FORMATS_COMPRESSION_H

enum qn_compression { QN_PLAIN = 0, QN_GZIP = 1, QN_ZSTD = 2 };

#define QN_COMPRESSION_SNIFF 4 /* bytes that qn_compression_detect() wants to see */

#endif
