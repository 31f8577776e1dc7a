/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c - the extension module that reads the `data` codec: makes a value of one CBOR item (RFC 8949) that a
 * hostile worker may have written. The other files that share reader.h read the kinds of items. json.c reads the
 * `json` codec within the same budgets.
 *
 * Two budgets, which grow with the number of bytes, bound the cost to the reading process. Memory: nothing is
 * allocated before budget_spend() has paid for it. Time: each item takes at least a byte; budget_work() counts
 * each tag that costs more than its bytes, and each step of filling a table of keys (table_check).
 *
 * C reads tags whose contents have a fixed shape. Tags that need a Python module go to the tag's function in
 * `decoders`, once the types of their contents are checked. */
#include "reader.h"
#include "plain.h"

void *reader_malformed(struct reader *r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *what = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    if (what)
        PyErr_Format(r->state->malformed, "%U (at byte %zd of %zd)", what,
                     (Py_ssize_t)(r->at - (const uint8_t *)r->stream.buf), r->stream.len);
    Py_XDECREF(what);
    return NULL;
}

static bool all_used(struct reader *r)
{
    Py_ssize_t unused = 0;
    for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(r->segments); i++)
        unused += !r->taken[i];
    if (unused)
        reader_malformed(r, "%zd segments are not used", unused);
    return !unused;
}

/* Read the whole stream by `item`. */
static PyObject *read_all(struct reader *r, PyObject *(*item)(struct reader *r))
{
    /* The growing value is not garbage. Collections meanwhile would take several times as long as the read. */
    bool collects = r->stream.len >= (Py_ssize_t)COLLECTED && PyGC_Disable();
    PyObject *value = item(r);
    if (collects)
        PyGC_Enable();
    if (value && r->at != r->end) {
        Py_CLEAR(value);
        reader_malformed(r, "%zd bytes after the value", (Py_ssize_t)(r->end - r->at));
    }
    if (value && !all_used(r))
        Py_CLEAR(value);
    return value;
}

PyDoc_STRVAR(read_doc, "read()\n--\n\n"
                       "Return the value. Call it once.");

static PyObject *reader_read(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return read_all((struct reader *)self, item_read);
}

PyDoc_STRVAR(read_json_doc, "read_json()\n--\n\n"
                            "Return the value of a JSON text. Call it once.");

static PyObject *reader_read_json(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return read_all((struct reader *)self, json_read);
}

PyDoc_STRVAR(spend_doc, "spend(bytes)\n--\n\n"
                        "Spend memory of the budget. Raises Malformed, or TooLarge.");

static PyObject *reader_spend(PyObject *self, PyObject *amount)
{
    unsigned long long bytes = PyLong_AsUnsignedLongLong(amount);
    if (PyErr_Occurred() || !budget_spend((struct reader *)self, bytes))
        return NULL;
    return Py_NewRef(Py_None);
}

PyDoc_STRVAR(work_doc, "work(steps)\n--\n\n"
                       "Spend time of the budget, in steps of some 4 ns. Raises Malformed.");

static PyObject *reader_work(PyObject *self, PyObject *amount)
{
    unsigned long long steps = PyLong_AsUnsignedLongLong(amount);
    if (PyErr_Occurred() || !budget_work((struct reader *)self, steps))
        return NULL;
    return Py_NewRef(Py_None);
}

static PyObject *reader_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(keywords))
{
    PyObject *segments, *decoders;
    unsigned long long most;
    int trusted;
    if (!PyArg_ParseTuple(arguments, "O!O!Kp", &PyTuple_Type, &segments, &PyDict_Type, &decoders, &most, &trusted))
        return NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(segments);
    uint64_t size = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!PyMemoryView_Check(PyTuple_GET_ITEM(segments, i)))
            n = 0;
        else
            size += (uint64_t)PyMemoryView_GET_BUFFER(PyTuple_GET_ITEM(segments, i))->len;
    }
    if (n == 0) {
        PyErr_SetString(PyExc_TypeError, "segments are memoryviews, one at least");
        return NULL;
    }
    struct reader *r = (struct reader *)type->tp_alloc(type, 0);
    if (!r)
        return NULL;
    r->state = PyType_GetModuleState(type);
    r->segments = Py_NewRef(segments);
    r->decoders = Py_NewRef(decoders);
    r->taken = PyMem_Calloc((size_t)n, 1);
    if (!r->taken || PyObject_GetBuffer(PyTuple_GET_ITEM(segments, 0), &r->stream, PyBUF_SIMPLE) < 0) {
        if (!r->taken)
            PyErr_NoMemory();
        Py_DECREF(r);
        return NULL;
    }
    r->at = r->stream.buf;
    r->end = r->at + r->stream.len;
    r->result_most = most;
    r->memory_most = trusted ? UINT64_MAX : MEMORY_FREE + MEMORY_A_BYTE * size;
    if (most && most < r->memory_most)
        r->memory_most = most;
    r->steps_most = trusted ? UINT64_MAX : STEPS_FREE + STEPS_A_BYTE * size;
    r->bounded = trusted ? INT_MIN : 0;
    r->breath = BREATH;
    return (PyObject *)r;
}

static void reader_dealloc(PyObject *self)
{
    struct reader *r = (struct reader *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (r->stream.obj)
        PyBuffer_Release(&r->stream);
    PyMem_Free(r->taken);
    Py_XDECREF(r->memo);
    Py_XDECREF(r->segments);
    Py_XDECREF(r->decoders);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_at(PyObject *self, void *Py_UNUSED(closure))
{
    const struct reader *r = (struct reader *)self;
    return PyLong_FromSsize_t(r->at - (const uint8_t *)r->stream.buf);
}

static PyObject *get_memo(PyObject *self, void *Py_UNUSED(closure))
{
    struct reader *r = (struct reader *)self;
    if (!r->memo)
        r->memo = PyDict_New();
    return Py_XNewRef(r->memo);
}

static PyObject *get_memory(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((struct reader *)self)->memory);
}

static PyObject *get_steps(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((struct reader *)self)->steps);
}

static PyMethodDef methods[] = {
    {"read", reader_read, METH_NOARGS, read_doc},
    {"read_json", reader_read_json, METH_NOARGS, read_json_doc},
    {"spend", reader_spend, METH_O, spend_doc},
    {"work", reader_work, METH_O, work_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef members[] = {
    {"at", get_at, NULL, "The position in the stream, in bytes.", NULL},
    {"memo", get_memo, NULL, "A dict in which decoders keep state while this value is read.", NULL},
    {"memory", get_memory, NULL, "The most bytes that the value read so far takes.", NULL},
    {"steps", get_steps, NULL, "Steps spent besides those that each byte costs.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(
    reader_doc,
    "Reader(segments, decoders, most, trusted)\n--\n\n"
    "Reads a value from a tuple of memoryviews. `decoders` make values that need a module from a tag's parts.\n"
    "`most`: bytes that the value may take, 0: no limit. `trusted`: no other bounds.");

static PyType_Slot type_slots[] = {
    {Py_tp_new, reader_new}, {Py_tp_dealloc, reader_dealloc}, {Py_tp_methods, methods},
    {Py_tp_getset, members}, {Py_tp_doc, (void *)reader_doc}, {0, NULL},
};

static PyType_Spec type_spec = {
    .name = "pinfold.codec._reader.Reader",
    .basicsize = sizeof(struct reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};

PyDoc_STRVAR(describe_doc,
             "describe(description)\n--\n\n"
             "Return the lists, texts, ints and Nones of a dtype's description that a reader has accepted.");

PyDoc_STRVAR(are_bools_doc, "are_bools(buffer)\n--\n\n"
                            "Return whether each byte is 0 or 1.");

PyDoc_STRVAR(are_characters_doc, "are_characters(buffer, big)\n--\n\n"
                                 "Return whether each four bytes, big-endian if `big`, are a Unicode code point.");

static PyMethodDef functions[] = {
    {"describe", array_describe, METH_O, describe_doc},
    {"are_bools", array_are_bools, METH_O, are_bools_doc},
    {"is_plain_pickle", is_plain_pickle, METH_O, IS_PLAIN_PICKLE_DOC},
    {"are_characters", array_are_characters, METH_VARARGS, are_characters_doc},
    {NULL, NULL, 0, NULL},
};

static int reader_module_exec(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    PyObject *errors = PyImport_ImportModule("pinfold.codec.refusals");
    if (!errors)
        return -1;
    state->malformed = PyObject_GetAttrString(errors, "Malformed");
    state->too_large = PyObject_GetAttrString(errors, "TooLarge");
    Py_DECREF(errors);
    if (!state->malformed || !state->too_large)
        return -1;
    state->reader = (PyTypeObject *)PyType_FromModuleAndSpec(module, &type_spec, NULL);
    if (!state->reader || PyModule_AddType(module, state->reader) < 0)
        return -1;
    static const struct {
        const char *name;
        long value;
    } constants[] = {{"MAX_DEPTH", MAX_DEPTH},
                     {"MAX_DIGITS", KEY_DIGITS},
                     {"OUT_OF_LINE", OUT_OF_LINE},
#define X(name, number) {#name, number},
                     TAGS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
            return -1;
    return 0;
}

static int reader_traverse(PyObject *module, visitproc visit, void *arg)
{
    const struct state *state = PyModule_GetState(module);
    Py_VISIT(state->reader);
    Py_VISIT(state->malformed);
    Py_VISIT(state->too_large);
    return 0;
}

static int reader_clear(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    Py_CLEAR(state->reader);
    Py_CLEAR(state->malformed);
    Py_CLEAR(state->too_large);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)reader_module_exec},
    {0, NULL},
};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "pinfold.codec._reader",
    .m_doc = "The reader of the codecs `data` and `json`, and a check of pickles.",
    .m_size = sizeof(struct state),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = reader_traverse,
    .m_clear = reader_clear,
};

PyMODINIT_FUNC PyInit__reader(void)
{
    return PyModuleDef_Init(&definition);
}
