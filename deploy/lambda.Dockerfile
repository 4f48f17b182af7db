# Parlour as an AWS Lambda function: its image, and the AWS Lambda Web Adapter, which turns Lambda's events into the
# HTTP that Parlour speaks. Both arguments are addresses of images: PARLOUR is what the Dockerfile beside README.md
# has built, LAMBDA_ADAPTER is named in the adapter's own documentation.
#
# docker build -f deploy/lambda.Dockerfile --build-arg PARLOUR=… --build-arg LAMBDA_ADAPTER=… deploy

ARG PARLOUR
ARG LAMBDA_ADAPTER

FROM ${LAMBDA_ADAPTER} AS adapter

FROM ${PARLOUR}
COPY --from=adapter /lambda-adapter /opt/extensions/lambda-adapter
# The adapter finds Parlour by PORT. It starts to ask once Parlour can serve, as a function has no traffic before.
ENV AWS_LWA_READINESS_CHECK_PATH=/readyz \
    AWS_LWA_READINESS_CHECK_HEALTHY_STATUS=200 \
    # For a function URL of the mode RESPONSE_STREAM. With `buffered`, there are no streams: clients poll.
    AWS_LWA_INVOKE_MODE=response_stream \
    # The adapter speaks to Parlour from the function itself, and hands on what Lambda says of the client.
    PARLOUR_TRUSTED_PROXIES=127.0.0.1 \
    PARLOUR_LOG_FORMAT=json \
    PARLOUR_AUTO_MIGRATE=false \
    # The least that PostgreSQL takes: a function serves one request at a time, and there may be hundreds of it.
    PARLOUR_DATABASE_POOL=7 \
    # Below Lambda's own limit of 15 minutes and the function's timeout, so that a stream ends with a goodbye.
    PARLOUR_STREAM_MAX_AGE=10m
