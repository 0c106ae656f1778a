// SPDX-License-Identifier: Apache-2.0
// COBS, one byte in at a time, one block out at a time; neither needs a second buffer.
#include "runtime/cobs.h"

#define FULL_BLOCK 0xffu  // code of a block that no zero follows

static void put(kg_cobs_decoder_t *decoder, uint8_t byte) {
    if (decoder->size < decoder->capacity) {
        decoder->buffer[decoder->size++] = byte;
    } else {
        decoder->overlong = true;
    }
}

static void start_block(kg_cobs_decoder_t *decoder, uint8_t code) {
    if (decoder->code != 0 && decoder->code != FULL_BLOCK) {
        put(decoder, 0);
    }
    decoder->code = code;
    decoder->left = (uint8_t)(code - 1u);
}

static kg_cobs_result_t delimiter(kg_cobs_decoder_t *decoder) {
    decoder->open = true;
    if (decoder->code == 0) {
        return KG_COBS_MORE;
    }
    return decoder->left == 0 && !decoder->overlong ? KG_COBS_FRAME : KG_COBS_DAMAGED;
}

kg_cobs_result_t kg_cobs_feed(kg_cobs_decoder_t *decoder, uint8_t byte) {
    if (byte == 0) {
        return delimiter(decoder);
    }
    if (!decoder->open) {
        return KG_COBS_MORE;
    }
    if (decoder->left == 0) {
        start_block(decoder, byte);
    } else {
        decoder->left--;
        put(decoder, byte);
    }
    return KG_COBS_MORE;
}

void kg_cobs_next(kg_cobs_decoder_t *decoder) {
    decoder->size = 0;
    decoder->code = 0;
    decoder->left = 0;
    decoder->overlong = false;
}

// Bytes before the first zero, at most what one block holds.
static size_t run_length(const uint8_t *data, size_t bytes) {
    size_t run = 0;
    while (run < bytes && run < FULL_BLOCK - 1u && data[run] != 0) {
        run++;
    }
    return run;
}

void kg_cobs_encode(const uint8_t *data, size_t bytes,
                    void (*sink)(const uint8_t *data, size_t bytes)) {
    const uint8_t *end = data + bytes;
    for (;;) {
        size_t run = run_length(data, (size_t)(end - data));
        uint8_t code = (uint8_t)(run + 1u);
        sink(&code, 1);
        sink(data, run);
        data += run;
        if (code == FULL_BLOCK) {
            continue;  // even at the end: a closing empty block keeps the encoding of a frame
                       // unique
        }
        if (data == end) {
            return;
        }
        data++;  // the zero that the code stands for
    }
}
