import requests
url = "https://sms.chinqit.com/messages/send"
headers = {
"Content-Type": "application/json",
"X-API-Key": "your-api-key"
}
data = {
"message": "Hello from SMS Gateway!",
"phoneNumber": "+1234567890"
}
response = requests.post(url, json=data, headers=headers)
result = response.json()
print(f"Message ID: {result['messageId']}")
