# Parlour as an AWS Lambda function: the image of Parlour, and the AWS Lambda Web Adapter, which turns Lambda's events into
# HTTP requests. Both arguments are addresses of images: PARLOUR is the image that the Dockerfile of this repository
# builds; the documentation of the adapter names LAMBDA_ADAPTER.
#
# docker build -f deploy/lambda.Dockerfile --build-arg PARLOUR=… --build-arg LAMBDA_ADAPTER=… deploy

ARG PARLOUR
ARG LAMBDA_ADAPTER

FROM ${LAMBDA_ADAPTER} AS adapter

FROM ${PARLOUR}
COPY --from=adapter /lambda-adapter /opt/extensions/lambda-adapter
# The adapter finds Parlour by PORT. It forwards requests once Parlour is ready; a function has no traffic before that.
ENV AWS_LWA_READINESS_CHECK_PATH=/readyz \
    AWS_LWA_READINESS_CHECK_HEALTHY_STATUS=200 \
    # For a function URL with the invoke mode RESPONSE_STREAM. With `buffered` there are no streams, only long polls.
    AWS_LWA_INVOKE_MODE=response_stream \
    # The adapter connects from the function itself and forwards the client's address that Lambda reports.
    PARLOUR_TRUSTED_PROXIES=127.0.0.1 \
    PARLOUR_LOG_FORMAT=json \
    PARLOUR_AUTO_MIGRATE=false \
    # The minimum on PostgreSQL: an instance of a function serves one request at a time, and there may be hundreds.
    PARLOUR_DATABASE_POOL=7 \
    # Below Lambda's own limit of 15 minutes and the function's timeout, so that a stream ends with `bye`.
    PARLOUR_STREAM_MAX_AGE=10m
