# The service as an image: pinned libraries, no root, a volume for the ledger of a single host.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.txt .
RUN python -m venv /opt/levelup_ov \
 && /opt/levelup_ov/bin/pip install --no-cache-dir -r requirements.txt
COPY setup.py setup.cfg README.rst LICENSE ./
COPY adapters adapters
COPY levelup_ov levelup_ov
RUN /opt/levelup_ov/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --uid 10001 --home-dir /var/lib/levelup_ov --create-home --shell /usr/sbin/nologin levelup_ov
COPY --from=build /opt/levelup_ov /opt/levelup_ov
COPY wsgi.py /srv/wsgi.py
WORKDIR /srv
ENV PATH=/opt/levelup_ov/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PORT=8000 \
    LEVELUP_OV_DATA_DIR=/var/lib/levelup_ov
USER levelup_ov
VOLUME /var/lib/levelup_ov
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=2)"]
CMD ["levelup-ov", "run"]
