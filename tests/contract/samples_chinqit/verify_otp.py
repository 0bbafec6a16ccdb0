import requests
url = "https://sms.chinqit.com/otp/verify"
headers = {
"Content-Type": "application/json",
"X-API-Key": "your-api-key"
}
data = {
"phoneNumber": "+1234567890",
"otp": "123456",
"channel": "sms"
}
response = requests.post(url, json=data, headers=headers)
result = response.json()
if result.get("verified"):
    print("OTP verified successfully")
else:
    print(f"Invalid OTP. Retries left: {result.get('retriesLeft', 0)}")
