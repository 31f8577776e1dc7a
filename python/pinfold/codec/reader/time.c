/* SPDX-License-Identifier: Apache-2.0 */
/* time.c - reads dates, times, timedeltas and time zones. */
#include "reader.h"

#include <datetime.h>

static bool has_datetime(void)
{
    if (!PyDateTimeAPI)
        PyDateTime_IMPORT;
    return PyDateTimeAPI;
}

/* Begin a list of `n` ints and `more` items, read the ints, and spend the memory of the value. */
static bool read_fields(struct reader *r, int *ints, int n, int more, uint64_t bytes, const char *whose)
{
    return has_datetime() && head_expect_list(r, (uint64_t)(n + more), whose) && number_small(r, ints, n, whose) &&
           budget_spend(r, bytes);
}

/* Read a time zone, or None. */
static PyObject *read_zone(struct reader *r, const char *whose)
{
    if (head_is_null(r))
        return Py_NewRef(Py_None);
    PyObject *zone = r->at < r->end && *r->at >> 5 == TAG ? item_read(r) : NULL;
    if (zone && PyTZInfo_Check(zone))
        return zone;
    Py_XDECREF(zone);
    return PyErr_Occurred() ? NULL : reader_malformed(r, "not the fields of a %s", whose);
}

PyObject *time_datetime(struct reader *r)
{
    int v[8];
    if (!read_fields(r, v, 8, 1, 64, "datetime"))
        return NULL;
    PyObject *zone = read_zone(r, "datetime"), *value = NULL;
    if (zone)
        value = PyDateTimeAPI->DateTime_FromDateAndTimeAndFold(v[0], v[1], v[2], v[3], v[4], v[5], v[6], zone,
                                                               v[7], PyDateTimeAPI->DateTimeType);
    Py_XDECREF(zone);
    return value;
}

PyObject *time_date(struct reader *r)
{
    int v[3];
    if (!read_fields(r, v, 3, 0, 32, "date"))
        return NULL;
    return PyDateTimeAPI->Date_FromDate(v[0], v[1], v[2], PyDateTimeAPI->DateType);
}

PyObject *time_of_day(struct reader *r)
{
    int v[5];
    if (!read_fields(r, v, 5, 1, 64, "time"))
        return NULL;
    PyObject *zone = read_zone(r, "time"), *value = NULL;
    if (zone)
        value = PyDateTimeAPI->Time_FromTimeAndFold(v[0], v[1], v[2], v[3], zone, v[4], PyDateTimeAPI->TimeType);
    Py_XDECREF(zone);
    return value;
}

PyObject *time_timedelta(struct reader *r)
{
    int v[3];
    if (!read_fields(r, v, 3, 0, 48, "timedelta"))
        return NULL;
    return PyDateTimeAPI->Delta_FromDelta(v[0], v[1], v[2], 1, PyDateTimeAPI->DeltaType);
}

PyObject *time_timezone(struct reader *r)
{
    struct head head;
    if (!has_datetime() || !head_expect_list(r, 2, "timezone") || !head_expect(r, TAG, &head, "timezone") ||
        !budget_spend(r, 48))
        return NULL;
    if (head.value != TIMEDELTA)
        return reader_malformed(r, "not the fields of a timezone");
    PyObject *offset = time_timedelta(r), *name = NULL, *zone = NULL;
    if (offset && (head_is_null(r) || (name = string_any(r, "timezone"))))
        zone = PyDateTimeAPI->TimeZone_FromTimeZone(offset, name);
    Py_XDECREF(offset);
    Py_XDECREF(name);
    return zone;
}
