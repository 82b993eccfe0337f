/* The methods of FmModel in Score.java that are native.
 *
 *     cc -O2 -fPIC -shared fmcompress_jni.c -I$FMC -I$JAVA_HOME/include -I$JAVA_HOME/include/linux \
 *        -L$FMC -Wl,-rpath,$FMC -lfmcompress -o libfmcompress_jni.so
 */
#include "fmcompress.h"

#include <jni.h>
#include <string.h>

/* Texts go as bytes of UTF-8 both ways: JNI's own strings are in an encoding of Java's. */
static void tell(JNIEnv *env, jbyteArray to, const char *message)
{
    (*env)->SetByteArrayRegion(env, to, 0, (jsize)strlen(message) + 1, (const jbyte *)message);
}

JNIEXPORT jlong JNICALL Java_FmModel_open(JNIEnv *env, jclass class, jbyteArray path, jbyteArray told)
{
    (void)class;
    char message[FMC_MESSAGE_BYTES];
    fmc_model *model = NULL;
    jbyte *bytes = (*env)->GetByteArrayElements(env, path, NULL);
    if (bytes == NULL) return 0;
    fmc_status status = fmc_open((const char *)bytes, 0, &model, message);
    (*env)->ReleaseByteArrayElements(env, path, bytes, JNI_ABORT);
    if (status != FMC_OK) tell(env, told, message);
    return (jlong)(intptr_t)model;
}

JNIEXPORT void JNICALL Java_FmModel_close(JNIEnv *env, jclass class, jlong model)
{
    (void)env, (void)class;
    fmc_close((fmc_model *)(intptr_t)model);
}

JNIEXPORT jint JNICALL Java_FmModel_idCount(JNIEnv *env, jclass class, jlong model)
{
    (void)env, (void)class;
    return (jint)fmc_id_count((fmc_model *)(intptr_t)model);
}

JNIEXPORT jint JNICALL Java_FmModel_valueCount(JNIEnv *env, jclass class, jlong model)
{
    (void)env, (void)class;
    return (jint)fmc_value_count((fmc_model *)(intptr_t)model);
}

JNIEXPORT jboolean JNICALL Java_FmModel_predict(JNIEnv *env, jclass class, jlong model, jintArray ids,
                                                jdoubleArray values, jfloatArray predictions, jbyteArray told)
{
    (void)class;
    char message[FMC_MESSAGE_BYTES];
    jsize rows = (*env)->GetArrayLength(env, predictions);
    /* The arrays themselves, not copies. Java's collector may wait meanwhile: scoring waits for nothing. */
    jint *id = (*env)->GetPrimitiveArrayCritical(env, ids, NULL);
    jdouble *value = (*env)->GetPrimitiveArrayCritical(env, values, NULL);
    jfloat *prediction = (*env)->GetPrimitiveArrayCritical(env, predictions, NULL);
    fmc_status status = FMC_NO_MEMORY;
    strcpy(message, "not enough memory");
    if (id != NULL && value != NULL && prediction != NULL) {
        const fmc_model *scorer = (const fmc_model *)(intptr_t)model;
        status = fmc_predict_i32(scorer, (const int32_t *)id, value, (size_t)rows, 1, prediction, message);
    }
    if (prediction != NULL) (*env)->ReleasePrimitiveArrayCritical(env, predictions, prediction, 0);
    if (value != NULL) (*env)->ReleasePrimitiveArrayCritical(env, values, value, JNI_ABORT);
    if (id != NULL) (*env)->ReleasePrimitiveArrayCritical(env, ids, id, JNI_ABORT);
    if (status != FMC_OK) tell(env, told, message);
    return status == FMC_OK;
}
