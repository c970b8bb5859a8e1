/* AUTOSAR end-to-end protection, profiles 1 (with the data id in both bytes) and 5 (PRS_E2EProtocol). */
#include "core.h"

static uint8_t crc8(uint8_t crc, uint8_t byte) /* SAE J1850 polynomial 0x1D */
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++)
        crc = (uint8_t)(crc & 0x80 ? crc << 1 ^ 0x1D : crc << 1);
    return crc;
}

static uint16_t crc16(uint16_t crc, uint8_t byte) /* CCITT polynomial 0x1021 */
{
    crc ^= (uint16_t)(byte << 8);
    for (int bit = 0; bit < 8; bit++)
        crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    return crc;
}

static uint16_t checksum(const struct message *m, const uint8_t *data)
{
    uint8_t low = (uint8_t)m->data_id, high = (uint8_t)(m->data_id >> 8);
    if (m->profile == P01) {
        uint8_t crc = crc8(crc8(0, low), high);
        for (int n = 1; n < m->length; n++)
            crc = crc8(crc, data[n]);
        return crc;
    }
    uint16_t crc = 0xFFFF;
    for (int n = 2; n < m->length; n++)
        crc = crc16(crc, data[n]);
    return crc16(crc16(crc, low), high);
}

bool e2e_holds(const struct message *m, const uint8_t *data)
{
    uint16_t sum = checksum(m, data);
    return m->profile == P01 ? data[0] == sum : (data[0] | data[1] << 8) == sum;
}

uint8_t e2e_counter(const struct message *m, const uint8_t *data)
{
    return m->profile == P01 ? data[1] & 15 : data[2];
}

unsigned e2e_period(const struct message *m)
{
    return m->profile == P01 ? 15 : 256;
}

void e2e_protect(const struct message *m, uint8_t *data, uint8_t counter)
{
    if (m->profile == P01) {
        data[1] = (uint8_t)((data[1] & 0xF0) | counter);
        data[0] = (uint8_t)checksum(m, data);
        return;
    }
    data[2] = counter;
    uint16_t sum = checksum(m, data);
    data[0] = (uint8_t)sum;
    data[1] = (uint8_t)(sum >> 8);
}
